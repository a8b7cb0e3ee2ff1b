import base64
from typing import Any

import pytest

from tests.images_server import picture
from utils.images.errors import CANCELLED, CONNECTION, Problem
from utils.images.pictures import check_picture
from utils.review import moves as state


@pytest.fixture
def shared() -> dict[str, Any]:
    store: dict[str, Any] = {}
    state.begin(store, {}, lambda job: True)
    return store


def remembered(shared: dict[str, Any]) -> dict[str, Any]:
    return state.take_changes(shared) or shared["remembered"]


def ask(shared: dict[str, Any], prompt: str = "a fox") -> str:
    shared["task_input"] = prompt
    state.generate(shared, shared["click_id"])
    return str(shared["pending"]["waiting"][0])


def receive(shared: dict[str, Any], request_id: str, words: str = "fox") -> str:
    image = picture(words)
    state.receive_picture(shared, request_id, check_picture(image), "some-model")
    return image


def test_a_picture_is_new_on_screen_once() -> None:
    shared = dict(state.DEFAULTS) | {"selected": "one"}
    assert [state.look(shared), state.look(shared)] == [True, False]
    shared["selected"] = "two"
    assert state.look(shared)


def test_a_new_session_has_every_key_at_its_default(shared: dict[str, Any]) -> None:
    assert set(shared) == set(state.DEFAULTS)
    assert {**shared, "click_id": ""} == dict(state.DEFAULTS)
    assert shared["click_id"]


def test_only_changes_are_to_be_remembered(shared: dict[str, Any]) -> None:
    changes = state.take_changes(shared)
    assert changes
    assert state.take_changes(shared) is None
    ask(shared)
    again = state.take_changes(shared)
    assert again
    assert again["pending"] == shared["pending"]
    tab: dict[str, Any] = {}
    state.begin(tab, again, lambda job: True)
    assert state.take_changes(tab) is None


def test_begin_leaves_a_session_that_has_begun_alone(shared: dict[str, Any]) -> None:
    shared["task_input"] = "mine"
    state.begin(shared, {"task_input": "remembered"}, lambda job: True)
    assert shared["task_input"] == "mine"


def test_a_session_begins_with_what_is_remembered_and_without_the_key(
    shared: dict[str, Any],
) -> None:
    shared["api_key"] = "sk-typed"
    receive(shared, ask(shared))
    again: dict[str, Any] = {}
    state.begin(again, remembered(shared), lambda job: True)
    assert again == {**shared, "api_key": ""}
    assert "api_key" not in again["remembered"]


def test_a_remembered_request_whose_job_is_gone_is_given_up(shared: dict[str, Any]) -> None:
    ask(shared)
    again: dict[str, Any] = {}
    state.begin(again, remembered(shared), lambda job: False)
    assert again["pending"] is None
    assert "gone" in again["error_message"]
    assert again["task_input"] == "a fox"


@pytest.mark.parametrize("prompt", ["", "   ", "\n\t"])
def test_an_empty_prompt_asks_for_nothing_and_says_so(shared: dict[str, Any], prompt: str) -> None:
    shared["task_input"] = prompt
    state.generate(shared, shared["click_id"])
    assert shared["pending"] is None
    assert "Describe" in shared["error_message"]


def test_clicks_on_one_rendering_of_a_button_are_one_request(shared: dict[str, Any]) -> None:
    click = shared["click_id"]
    first = ask(shared)
    state.generate(shared, click)
    assert shared["pending"]["waiting"][0] == first


def test_a_click_on_an_old_rendering_asks_for_nothing(shared: dict[str, Any]) -> None:
    old_click = shared["click_id"]
    receive(shared, ask(shared))
    state.regenerate(shared, old_click)
    assert shared["pending"] is None


def test_two_tabs_share_a_click_only_if_they_ask_for_the_same() -> None:
    one: dict[str, Any] = {}
    state.begin(one, {}, lambda job: True)
    tabs: list[dict[str, Any]] = [one]
    for _ in range(2):
        tab: dict[str, Any] = {}
        state.begin(tab, remembered(one), lambda job: True)
        tabs.append(tab)
    same, same_too, other = (
        ask(tab, prompt) for tab, prompt in zip(tabs, ["a fox", "a fox", "an owl"], strict=True)
    )
    assert same == same_too != other


def test_a_picture_goes_under_review_and_joins_the_attempts(shared: dict[str, Any]) -> None:
    image = receive(shared, ask(shared))
    assert shared["stage"] == "user_feedback"
    assert shared["generated_image"] == image
    assert shared["input_used_by_process"] == "a fox"
    assert state.find_attempt(shared, shared["selected"])["model"] == "some-model"
    assert shared["pending"] is None


def test_a_picture_that_nobody_awaits_changes_nothing(shared: dict[str, Any]) -> None:
    before = dict(shared)
    receive(shared, "some-other-request")
    assert shared == before


def test_regenerate_asks_for_the_prompt_under_review_and_keeps_the_picture(
    shared: dict[str, Any],
) -> None:
    first = receive(shared, ask(shared))
    shared["task_input"] = "something else by now"
    state.regenerate(shared, shared["click_id"])
    assert shared["pending"]["prompt"] == "a fox"
    assert shared["generated_image"] == first
    second = receive(shared, shared["pending"]["waiting"][0], "second fox")
    assert [attempt["image"] for attempt in shared["attempts"]] == [first, second]
    assert shared["generated_image"] == second


def test_a_failure_leaves_all_as_it_was_and_adds_one_sentence(shared: dict[str, Any]) -> None:
    receive(shared, ask(shared))
    before = dict(shared)
    state.regenerate(shared, shared["click_id"])
    state.fail(shared, shared["pending"]["waiting"][0], CONNECTION)
    changed = {key for key in shared if shared[key] != before[key]}
    assert changed == {"error_message", "click_id"}
    assert shared["error_message"] == CONNECTION.sentence


def test_the_next_action_clears_the_last_error(shared: dict[str, Any]) -> None:
    receive(shared, ask(shared))
    shared["error_message"] = "old"
    state.approve(shared)
    assert shared["error_message"] == ""
    shared["error_message"] = "old"
    state.back_to_review(shared)
    assert shared["error_message"] == ""
    shared["error_message"] = "old"
    state.regenerate(shared, shared["click_id"])
    assert shared["error_message"] == ""


def test_cancel_takes_the_request_back_and_speaks_of_the_bill(shared: dict[str, Any]) -> None:
    state.fail(shared, ask(shared), CANCELLED)
    assert shared["pending"] is None
    assert shared["stage"] == "initial_input"
    assert shared["task_input"] == "a fox"
    assert "billed" in shared["error_message"]


def test_approve_makes_the_picture_the_result_and_back_returns(shared: dict[str, Any]) -> None:
    image = receive(shared, ask(shared))
    state.approve(shared)
    assert (shared["stage"], shared["final_result"]) == ("final", image)
    state.back_to_review(shared)
    assert (shared["stage"], shared["generated_image"]) == ("user_feedback", image)


def two_under_review(shared: dict[str, Any]) -> tuple[str, str]:
    """Bring two pictures of one request to review; return their ids."""
    shared["count"] = 2
    first = ask(shared)
    second = shared["pending"]["waiting"][1]
    receive(shared, first, "one")
    receive(shared, second, "two")
    return first, second


def test_the_first_of_several_goes_under_review_and_the_others_join(
    shared: dict[str, Any],
) -> None:
    shared["count"] = 3
    ask(shared)
    one, two, three = shared["pending"]["waiting"]
    image = receive(shared, two, "two")
    assert (shared["stage"], shared["selected"]) == ("user_feedback", two)
    assert shared["pending"]["waiting"] == (one, three)
    receive(shared, one, "one")
    assert shared["generated_image"] == image
    state.fail(shared, three, CONNECTION)
    assert shared["pending"] is None
    assert [attempt["number"] for attempt in shared["attempts"]] == [1, 2]


def test_only_what_is_missing_is_asked_for_again(shared: dict[str, Any]) -> None:
    shared["count"] = 3
    shared["quality"] = "low"
    ask(shared)
    one, two, three = shared["pending"]["waiting"]
    for request_id in (one, two):
        state.fail(shared, request_id, CONNECTION)
    receive(shared, three)
    assert shared["missing"]["count"] == 2
    shared["quality"] = "high"
    state.make_missing(shared, shared["click_id"])
    assert len(shared["pending"]["asked"]) == 2
    assert shared["pending"]["options"] == {"quality": "low"}
    assert shared["pending"]["prompt"] == "a fox"
    assert (shared["missing"], shared["error_message"]) == (None, "")


def test_what_was_cancelled_is_not_missing(shared: dict[str, Any]) -> None:
    shared["count"] = 2
    ask(shared)
    for request_id in shared["pending"]["asked"]:
        state.fail(shared, request_id, CANCELLED)
    assert shared["missing"] is None


def test_attempts_can_be_selected_and_stepped_through(shared: dict[str, Any]) -> None:
    first, second = two_under_review(shared)
    assert shared["selected"] == first
    state.step(shared, 1)
    assert shared["selected"] == second
    assert shared["generated_image"] == picture("two")
    state.step(shared, 1)
    assert shared["selected"] == first
    state.step(shared, -1)
    assert shared["selected"] == second
    state.select(shared, first)
    assert shared["generated_image"] == picture("one")
    state.approve(shared)
    assert (shared["approved"], shared["final_result"]) == (first, picture("one"))


def test_a_change_is_made_from_the_selected_picture_and_remembers_it(
    shared: dict[str, Any],
) -> None:
    image = receive(shared, ask(shared))
    parent = shared["selected"]
    shared["change"] = "make it night"
    state.change(shared, shared["click_id"])
    assert shared["pending"]["prompt"] == "make it night"
    assert shared["pending"]["images"] == (image,)
    receive(shared, shared["pending"]["waiting"][0], "night")
    attempt = state.find_attempt(shared, shared["selected"])
    assert (attempt["parent"], attempt["sources"]) == (parent, (image,))
    state.regenerate(shared, shared["click_id"])
    assert shared["pending"]["images"] == (image,)
    assert shared["pending"]["parent"] == parent


def test_an_edited_prompt_is_asked_for_and_follows_the_selection(shared: dict[str, Any]) -> None:
    _, second = two_under_review(shared)
    state.fit_widgets(shared)
    assert shared["edited_prompt"] == "a fox"
    state.look(shared)
    shared["edited_prompt"] = "an owl"
    state.fit_widgets(shared)
    state.generate_edited(shared, shared["click_id"])
    assert shared["pending"]["prompt"] == "an owl"
    state.select(shared, second)
    state.fit_widgets(shared)
    assert shared["edited_prompt"] == "a fox"
    shared["compared"] = "gone"
    state.fit_widgets(shared)
    assert shared["compared"] == ""


def test_references_are_checked_and_used(shared: dict[str, Any]) -> None:
    good = base64.b64decode(picture("mine", image_format="JPEG"))
    state.take_references(shared, [good, b"no picture"])
    assert "Picture 2 is no PNG" in shared["error_message"]
    assert shared["references"] == (picture("mine", image_format="JPEG"),)
    ask(shared)
    assert shared["pending"]["images"] == shared["references"]
    state.take_references(shared, [good] * 17)
    assert len(shared["references"]) == 16
    assert "first 16" in shared["error_message"]


def test_a_recent_picture_is_reopened_among_the_others(shared: dict[str, Any]) -> None:
    receive(shared, ask(shared))
    state.start_over(shared)
    (recent,) = shared["recent"]
    state.reopen(shared, recent["id"])
    assert (shared["stage"], shared["selected"]) == ("user_feedback", recent["id"])
    state.approve(shared)
    state.start_over(shared)
    assert len(shared["recent"]) == 1
    with pytest.raises(LookupError):
        state.reopen(shared, "never made")
    state.forget_recent(shared)
    assert shared["recent"] == ()


def test_a_picture_that_comes_after_approval_is_kept_and_does_not_change_the_screen(
    shared: dict[str, Any],
) -> None:
    approved = receive(shared, ask(shared))
    state.regenerate(shared, shared["click_id"])
    state.approve(shared)
    late = receive(shared, shared["pending"]["waiting"][0], "late")
    assert (shared["stage"], shared["final_result"]) == ("final", approved)
    assert shared["attempts"][-1]["image"] == late


def test_attempts_are_bounded_and_the_approved_one_stays(shared: dict[str, Any]) -> None:
    approved = receive(shared, ask(shared))
    state.approve(shared)
    state.back_to_review(shared)
    for number in range(state.MAX_ATTEMPTS + 3):
        state.regenerate(shared, shared["click_id"])
        receive(shared, shared["pending"]["waiting"][0], str(number))
    assert len(shared["attempts"]) == state.MAX_ATTEMPTS
    assert state.find_attempt(shared, shared["approved"])["image"] == approved
    assert shared["attempts"][1]["image"] == picture("4")


def test_start_over_resets_all_but_settings_spending_and_the_typed_key(
    shared: dict[str, Any],
) -> None:
    kept = {"api_key": "sk-typed", "quality": "low", "size": "square", "model": "gpt-image-2"}
    shared.update(kept)
    receive(shared, ask(shared))
    state.approve(shared)
    state.start_over(shared)
    assert shared["spending"]["pictures"] == 1
    assert [one["prompt"] for one in shared["recent"]] == ["a fox"]
    kept |= {"click_id": shared["click_id"]}
    assert shared["upload_round"] == 1
    reset = {
        **shared,
        "upload_round": 0,
        "recent": (),
        "spending": state.DEFAULTS["spending"],
        "remembered": {},
    }
    assert reset == {**state.DEFAULTS, **kept}


def test_only_what_was_chosen_is_asked_for(shared: dict[str, Any]) -> None:
    ask(shared)
    assert shared["pending"]["options"] == {}
    state.fail(shared, shared["pending"]["waiting"][0], CONNECTION)
    shared.update(quality="high", background="transparent", output_format="webp", size="portrait")
    ask(shared)
    assert shared["pending"]["options"] == {
        "quality": "high",
        "background": "transparent",
        "output_format": "webp",
        "size": "1024x1536",
    }


def test_an_own_size_is_checked_before_any_call(shared: dict[str, Any]) -> None:
    shared.update(task_input="a fox", size="custom", custom_size="1000x", api_key="sk-typed")
    state.generate(shared, shared["click_id"])
    assert "width x height" in shared["error_message"]
    assert not shared["pending"]
    shared["custom_size"] = "1536 x 864"
    state.generate(shared, shared["click_id"])
    assert shared["pending"]["options"] == {"size": "1536x864"}


def test_the_size_to_come_is_the_chosen_one(shared: dict[str, Any]) -> None:
    assert state.size_to_come(shared) == (1024, 1024)
    shared.update(size="landscape")
    assert state.size_to_come(shared) == (1536, 1024)
    ask(shared)
    shared.update(size="custom", custom_size="nonsense")
    assert state.size_to_come(shared) == (1536, 1024)
    state.fail(shared, shared["pending"]["waiting"][0], CANCELLED)
    assert state.size_to_come(shared) == (1024, 1024)


def test_settings_that_the_model_is_documented_not_to_take_go_back_to_auto(
    shared: dict[str, Any],
) -> None:
    chosen = {"quality": "max", "background": "transparent", "output_format": "png"}
    shared.update(api_key="sk-typed", model="gpt-image-2.5-flare", **chosen)
    state.fit_widgets(shared)
    assert {key: shared[key] for key in chosen} == chosen
    shared["output_format"] = "jpeg"
    state.fit_widgets(shared)
    assert shared["output_format"] == "auto"
    shared["model"] = "gpt-image-2"
    state.fit_widgets(shared)
    assert (shared["quality"], shared["background"]) == ("auto", "auto")
    shared.update(model="gpt-image-1", size="custom")
    state.fit_widgets(shared)
    assert shared["size"] == "auto"


def test_what_pictures_cost_adds_up(shared: dict[str, Any]) -> None:
    for words in ("one", "two"):
        usage = {"input_tokens": 100, "output_tokens": 1000, "total_tokens": 1100}
        picked = check_picture(picture(words), usage)
        state.receive_picture(shared, ask(shared), picked, "gpt-image-2.5-flare")
    assert shared["spending"]["pictures"] == 2
    assert shared["spending"]["tokens"] == 2200
    assert shared["spending"]["dollars"] == pytest.approx(2 * (100 * 5 + 1000 * 30) / 1e6)


def test_the_servers_request_id_is_kept_with_the_error_and_goes_with_it(
    shared: dict[str, Any],
) -> None:
    state.fail(shared, ask(shared), Problem("server", "Trouble. Try again.", request_id="req_1"))
    assert shared["error_request_id"] == "req_1"
    ask(shared)
    assert shared["error_request_id"] == ""


def test_an_attempt_of_no_id_is_not_found(shared: dict[str, Any]) -> None:
    with pytest.raises(LookupError):
        state.find_attempt(shared, "nobody's")
