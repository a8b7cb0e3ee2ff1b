import base64
from dataclasses import replace
from typing import cast

import pytest

from tests.stores import Text, ask, choose, make, new_store, receive, result
from utils.jobs.outcomes import CANCELLED, INTERRUPTED, NOT_BEGUN, UNKNOWN, Problem
from utils.jobs.table import jobs
from utils.review import boxes, choosing, moves
from utils.review.blobs import blobs
from utils.review.records import Cost, Engine, Pending, Wish
from utils.review.store import DEFAULTS, STAGES, Store, by_key

FAILED = Problem("connection", "No connection.", request_id="req-7")
LOST = Problem("too slow", "It may have been billed.", billed=True)


@pytest.fixture
def shared() -> Store:
    return new_store()


def again(shared: Store, **how: bool) -> Store:
    """The store of a page that opens after this one."""
    return new_store(moves.snapshot(shared), shared["owner"], **how)


def numbers(shared: Store) -> list[int]:
    return [attempt.number for attempt in shared["attempts"]]


def waiting(shared: Store) -> tuple[Pending, ...]:
    """What is waited for; mypy would go on believing an earlier assertion about the key."""
    return shared["pending"]


def wishes(shared: Store) -> list[Wish]:
    return [one.wish for one in waiting(shared)]


def base64_of(words: str) -> str:
    return base64.b64encode(words.encode()).decode()


def use_example(shared: Store, example: str, examples: tuple[str, ...]) -> None:
    by_key(shared)["example"] = example
    boxes.use_example(shared, "example", examples)


def test_a_new_session_has_every_key_at_its_default(shared: Store) -> None:
    assert set(shared) == {*DEFAULTS, "tone"}
    assert shared["payer"] == shared["owner"]
    own = {"click_id": "", "owner": "", "payer": "", "settings": ()}
    assert {**shared, **own} == {**DEFAULTS, "tone": "auto"}
    assert shared["click_id"]
    assert shared["owner"]
    assert new_store()["owner"] != shared["owner"]


def test_begin_leaves_a_session_that_has_begun_alone(shared: Store) -> None:
    shared["task_input"] = "mine"
    moves.begin(shared, {"task_input": "remembered"}, lambda job: True, {})
    assert shared["task_input"] == "mine"


def test_a_session_begins_with_what_is_remembered_and_without_the_key(shared: Store) -> None:
    shared["api_key"] = "sk-typed"
    by_key(shared)["tone"] = "warm"
    make(shared)
    moves.approve(shared, shared["under_review"])
    other = again(shared)
    assert {**other, "remembered": {}} == {**shared, "api_key": "", "remembered": {}}
    assert "api_key" not in other["remembered"]
    assert other["generated_image"] == other["final_result"] == base64_of("a fox")


def test_pictures_are_not_in_what_is_remembered(shared: Store) -> None:
    make(shared, words="x" * 9000)
    assert base64_of("x" * 9000) not in repr(moves.snapshot(shared))
    assert len(repr(moves.snapshot(shared))) < 3000


def test_a_remembered_request_whose_job_is_gone_is_given_up_and_may_be_asked_for_again(
    shared: Store,
) -> None:
    ask(shared)
    other = again(shared, jobs_known=False)
    assert other["pending"] == ()
    assert "may have been billed" in other["error_message"]
    assert other["costs"][ask(shared).id].lost == 1
    assert other["task_input"] == "a fox"
    moves.ask_again(other, other["click_id"], choose)
    assert wishes(other) == wishes(shared)


@pytest.mark.parametrize("prompt", ["", "   ", "\n\t", "\u3000\u00a0", "\u200b\u200b", "\x00\x01"])
def test_an_empty_prompt_asks_for_nothing_and_says_so(shared: Store, prompt: str) -> None:
    shared["task_input"] = prompt
    moves.generate(shared, shared["click_id"], choose)
    assert shared["pending"] == ()
    assert "Say first" in shared["error_message"]


def test_a_prompt_that_is_too_long_is_kept_and_counted(shared: Store) -> None:
    shared["task_input"] = "x" * (moves.MAX_PROMPT + 1500)
    moves.generate(shared, shared["click_id"], choose)
    assert shared["pending"] == ()
    assert "1,500 characters too long" in shared["error_message"]
    assert len(shared["task_input"]) == moves.MAX_PROMPT + 1500
    shared["task_input"] = "x" * (moves.MAX_PROMPT + 1)
    moves.generate(shared, shared["click_id"], choose)
    assert "1 character too long" in shared["error_message"]
    ask(shared, "x" * moves.MAX_PROMPT)
    assert shared["pending"]


def test_an_impossible_setting_asks_for_nothing_and_says_so(shared: Store) -> None:
    by_key(shared)["tone"] = "impossible"
    shared["task_input"] = "a fox"
    moves.generate(shared, shared["click_id"], choose)
    assert shared["pending"] == ()
    assert shared["error_message"] == "Choose another tone."


def test_a_wish_is_whole_when_the_click_is_made(shared: Store) -> None:
    by_key(shared)["tone"] = "warm"
    boxes.use_references(shared, [("sha", "me.png")], "")
    wish = ask(shared).wish
    assert (wish.prompt, wish.brief, wish.sources) == ("a fox", "a fox", ("sha",))
    assert (wish.engine.model, wish.options, wish.parent) == ("typewriter-1", {"tone": "warm"}, "")


def test_clicks_on_one_rendering_of_a_button_are_one_request(shared: Store) -> None:
    click = shared["click_id"]
    first = ask(shared)
    moves.generate(shared, click, choose)
    assert shared["pending"] == (first,)


def test_a_click_on_an_old_rendering_asks_for_nothing(shared: Store) -> None:
    old_click = shared["click_id"]
    make(shared)
    moves.regenerate(shared, old_click, choose)
    assert shared["pending"] == ()


def test_what_arrives_in_the_run_that_disables_its_box_is_kept() -> None:
    class Widgets(dict[str, object]):
        """Forgets, as Streamlit does, what is not set again."""

        def __init__(self, values: dict[str, object]) -> None:
            super().__init__(values)
            self.set: set[str] = set()

        def __setitem__(self, key: str, value: object) -> None:
            super().__setitem__(key, value)
            self.set.add(key)

    store = Widgets(dict(new_store()))
    store["prompt-0"] = "typed"
    store.set.clear()
    moves.click(cast("Store", store), "generate", str(store["click_id"]))
    assert {"prompt-0", "change", "tone", "api_key", "count"} <= store.set


def test_two_tabs_share_a_click_only_if_they_ask_for_the_same() -> None:
    first = new_store()
    second = again(first)
    third = again(first)
    assert ask(first).id == ask(second).id
    assert ask(third, "an owl").id != ask(first).id


def test_what_has_failed_in_one_tab_is_no_answer_to_who_asks_later_in_another() -> None:
    first = new_store()
    first["count"] = 2
    second, third = again(first), again(first)
    failed = ask(first)
    jobs.cancel(failed.id)
    ask(second)
    assert failed.id not in [one.id for one in second["pending"]]
    # What has not failed goes on being shared, and so does a click that both make now.
    assert second["pending"][1] == first["pending"][1]
    ask(third)
    assert third["pending"] == second["pending"]


def test_a_result_goes_under_review_and_joins_the_attempts(shared: Store) -> None:
    attempt = make(shared, "a fox", "picture of a fox")
    assert shared["stage"] == "user_feedback"
    assert shared["under_review"] == attempt.id
    assert shared["generated_image"] == base64_of("picture of a fox")
    assert shared["pending"] == ()
    assert (attempt.number, attempt.wish.prompt) == (1, "a fox")


def test_what_arrives_twice_is_there_once(shared: Store) -> None:
    pending = ask(shared)
    for _ in range(3):
        moves.receive(shared, pending, result(shared, cost=Cost(10, 0.5)))
    assert len(shared["attempts"]) == 1
    assert list(shared["costs"].values()) == [Cost(10, 0.5)]
    assert shared["unseen"] == (pending.id,)


def test_regenerate_asks_for_the_attempts_own_prompt_and_sources_with_todays_settings(
    shared: Store,
) -> None:
    boxes.use_references(shared, [("sha", "me.png")], "")
    make(shared)
    boxes.drop_references(shared)
    shared["task_input"] = "something else"
    by_key(shared)["tone"] = "cold"
    moves.regenerate(shared, shared["click_id"], choose)
    wish = shared["pending"][0].wish
    assert (wish.prompt, wish.sources, wish.options) == ("a fox", ("sha",), {"tone": "cold"})
    assert shared["generated_image"]
    assert shared["stage"] == "user_feedback"


def test_a_failure_leaves_all_as_it_was_and_adds_one_sentence(shared: Store) -> None:
    make(shared)
    before = {**shared}
    moves.regenerate(shared, shared["click_id"], choose)
    moves.fail(shared, shared["pending"][0], FAILED)
    moves.clear_settled(shared)
    changed = {key for key in before if before[key] != by_key(shared)[key]}
    assert changed == {"click_id", "failures", "error_message", "error_request_id", "costs"}
    assert (shared["error_message"], shared["error_request_id"]) == ("No connection.", "req-7")


@pytest.mark.parametrize(
    ("move", "missing"),
    [
        (lambda shared: ask(shared), 0),
        (lambda shared: moves.approve(shared, shared["under_review"]), 1),
        (lambda shared: moves.back_to_review(shared), 1),
        (lambda shared: moves.start_over(shared), 0),
        (lambda shared: boxes.use_references(shared, [], ""), 1),
        (lambda shared: moves.generate(shared, shared["click_id"], choose), 1),
    ],
)
def test_the_next_action_clears_the_last_error_and_forgets_nothing_that_is_missing(
    shared: Store, move: object, missing: int
) -> None:
    make(shared)
    moves.regenerate(shared, shared["click_id"], choose)
    moves.fail(shared, shared["pending"][0], replace(FAILED, billed=True))
    moves.clear_settled(shared)
    shared["task_input"] = ""
    move(shared)  # type: ignore[operator]
    assert shared["error_message"] in ("", "Say first what you want: a few words are enough.")
    assert shared["error_request_id"] == ""
    assert len(moves.missing(shared)) == missing


def test_approve_makes_what_the_person_sees_the_result_and_back_returns(shared: Store) -> None:
    first = make(shared, words="one")
    make(shared, words="two")
    moves.approve(shared, first.id)
    assert (shared["approved"], shared["decision"]) == (first.id, "approve")
    assert shared["final_result"] == base64_of("one")
    moves.back_to_review(shared)
    assert shared["decision"] == "back"
    assert shared["final_result"] == base64_of("one")


def test_the_first_of_several_goes_under_review_and_the_others_join(shared: Store) -> None:
    shared["count"] = 3
    ask(shared)
    first, second, third = shared["pending"]
    receive(shared, second, "second")
    assert shared["under_review"] == second.id
    assert shared["pending"] == (first, third)
    receive(shared, first, "first")
    choosing.select(shared, first.id)
    receive(shared, third, "third")
    assert shared["under_review"] == first.id
    assert numbers(shared) == [1, 2, 3]


def test_what_a_click_asked_for_is_known_until_all_of_it_has_come(shared: Store) -> None:
    make(shared, "before")
    shared["count"] = 3
    ask(shared)
    first, second, third = (pending.id for pending in shared["pending"])
    receive(shared, shared["pending"][1])
    moves.fail(shared, shared["pending"][0], FAILED)
    assert choosing.asked(shared) == [first, second, third]
    receive(shared, shared["pending"][-1])
    assert choosing.asked(shared) == []


def test_only_what_is_missing_is_asked_for_again(shared: Store) -> None:
    shared["count"] = 3
    ask(shared)
    first, second, third = shared["pending"]
    receive(shared, first)
    for pending in (second, third):
        moves.fail(shared, pending, FAILED)
    moves.clear_settled(shared)
    shared["count"] = 1
    moves.ask_again(shared, "an old click", choose)
    assert shared["pending"] == ()
    moves.ask_again(shared, shared["click_id"], choose)
    assert wishes(shared) == [second.wish, third.wish]
    assert shared["decision"] == "generate"
    assert not {one.id for one in waiting(shared)} & {first.id, second.id, third.id}


def test_what_fails_once_more_is_missing_still(shared: Store) -> None:
    shared["count"] = 2
    ask(shared)
    receive(shared, shared["pending"][0])
    wish = shared["pending"][-1].wish
    for _ in "twice":
        moves.fail(shared, shared["pending"][-1], FAILED)
        moves.clear_settled(shared)
        assert [one.pending.wish for one in moves.missing(shared)] == [wish]
        moves.ask_again(shared, shared["click_id"], choose)


def test_one_alone_may_be_asked_for_again_where_it_may_have_been_billed(shared: Store) -> None:
    moves.fail(shared, ask(shared), FAILED)
    moves.clear_settled(shared)
    assert moves.missing(shared) == []
    moves.fail(shared, ask(shared, "an owl"), LOST)
    moves.clear_settled(shared)
    assert [one.pending.wish.prompt for one in moves.missing(shared)] == ["an owl"]


@pytest.mark.parametrize("problem", [CANCELLED, NOT_BEGUN])
def test_what_was_cancelled_is_not_missing(shared: Store, problem: Problem) -> None:
    shared["count"] = 2
    ask(shared)
    for pending in shared["pending"]:
        moves.fail(shared, pending, problem)
    assert moves.missing(shared) == []
    assert shared["error_message"] == problem.sentence


def test_what_another_node_waited_for_is_not_missing(shared: Store) -> None:
    moves.fail(shared, replace(ask(shared), kind="publish"), LOST)
    assert moves.missing(shared) == []


@pytest.mark.parametrize("problem", [CANCELLED, INTERRUPTED, UNKNOWN])
def test_where_nothing_is_ever_billed_nobody_is_told_that_something_may_have_been(
    shared: Store, problem: Problem
) -> None:
    free = Engine("Demo", "demo", free=True)
    shared["task_input"] = "a fox"
    moves.generate(shared, shared["click_id"], lambda values: [(free, {})])
    moves.fail(shared, shared["pending"][0], problem, lost=1)
    assert shared["error_message"].startswith(problem.sentence[:9])
    assert "bill" in problem.sentence
    assert "bill" not in shared["error_message"]
    assert shared["error_message"] == shared["failures"][0].problem.sentence
    assert [cost.lost for cost in shared["costs"].values()] == [0]


def test_a_sentence_that_is_true_everywhere_is_said_where_nothing_is_billed(shared: Store) -> None:
    free = Engine("Demo", "demo", free=True)
    shared["task_input"] = "a fox"
    moves.generate(shared, shared["click_id"], lambda values: [(free, {})])
    moves.fail(shared, shared["pending"][0], NOT_BEGUN)
    assert shared["error_message"] == NOT_BEGUN.sentence


def test_without_the_key_that_was_used_nothing_is_asked_for_again(shared: Store) -> None:
    own = Engine("OpenAI", "model", "https://api.openai.com/v1", own_key=True)
    shared["task_input"], shared["api_key"] = "a fox", "sk-typed"
    moves.generate(shared, shared["click_id"], lambda values: [(own, {})])
    moves.fail(shared, shared["pending"][0], LOST)
    moves.clear_settled(shared)
    other = again(shared)
    moves.ask_again(other, other["click_id"], choose)
    assert other["pending"] == ()
    assert "Enter it once more" in other["error_message"]
    other["api_key"] = "sk-typed"
    moves.ask_again(other, other["click_id"], choose)
    assert wishes(other)[0].engine == own


def test_attempts_can_be_selected_and_stepped_through(shared: Store) -> None:
    ids = [make(shared, words).id for words in ("one", "two", "three")]
    choosing.step(shared, 1)
    assert shared["under_review"] == ids[0]
    assert shared["generated_image"] == base64_of("one")
    choosing.step(shared, -1)
    assert shared["under_review"] == ids[2]
    by_key(shared)[choosing.pick_key(shared)] = ids[1]
    choosing.pick(shared, choosing.pick_key(shared), ids[2])
    assert shared["under_review"] == ids[1]
    choosing.select(shared, "gone since")
    assert shared["under_review"] == ids[1]


def test_a_page_that_has_not_heard_of_a_step_picks_nothing_by_it(shared: Store) -> None:
    ids = [make(shared, words).id for words in ("one", "two", "three")]
    key = choosing.pick_key(shared)
    choosing.step(shared, -1)
    assert choosing.pick_key(shared) != key
    by_key(shared)[key] = ids[2]
    choosing.pick(shared, key, ids[2])
    assert shared["under_review"] == ids[1]
    by_key(shared)[key] = ids[0]
    choosing.pick(shared, key, ids[2])
    assert shared["under_review"] == ids[0]


def test_a_change_is_made_from_the_attempt_and_its_prompt_stands_by_itself(shared: Store) -> None:
    lighthouse = make(shared, "A lighthouse.")
    boxes.use_references(shared, [("mine", "me.png")], "")
    shared["change"] = "make it night"
    moves.change(shared, shared["click_id"], choose)
    wish = shared["pending"][0].wish
    assert (wish.prompt, wish.parent) == ("make it night", lighthouse.id)
    assert wish.sources == (lighthouse.result.name, "mine")
    assert wish.brief == "A lighthouse. make it night"
    receive(shared, shared["pending"][0])
    assert boxes.edited_prompt(shared) == "A lighthouse. make it night"
    moves.regenerate(shared, shared["click_id"], choose)
    assert shared["pending"][0].wish == wish


def test_what_was_typed_for_an_attempt_outlives_a_look_at_another(shared: Store) -> None:
    one, two = make(shared, "one"), make(shared, "two")
    by_key(shared)[boxes.edit_key(two.id)] = "two, but red"
    boxes.edit(shared, two.id)
    choosing.select(shared, one.id)
    boxes.fit_boxes(shared)
    assert by_key(shared)[boxes.edit_key(one.id)] == "one"
    choosing.select(shared, two.id)
    del shared[boxes.edit_key(two.id)]  # type: ignore[misc]
    boxes.fit_boxes(shared)
    assert by_key(shared)[boxes.edit_key(two.id)] == "two, but red"
    moves.generate_edited(shared, shared["click_id"], choose)
    assert shared["pending"][0].wish.prompt == "two, but red"


def test_an_edited_prompt_stands_beside_what_regenerate_brings(shared: Store) -> None:
    attempt = make(shared)
    by_key(shared)[boxes.edit_key(attempt.id)] = "a red fox"
    boxes.edit(shared, attempt.id)
    moves.regenerate(shared, shared["click_id"], choose)
    assert shared["pending"][0].wish.prompt == "a fox"
    receive(shared, shared["pending"][0])
    assert boxes.edited_prompt(shared) == "a red fox"
    make(shared, "an owl")
    assert boxes.edited_prompt(shared) == "an owl"


def test_a_box_that_fits_is_not_set_anew(shared: Store) -> None:
    attempt = make(shared)
    boxes.fit_boxes(shared)
    key = boxes.edit_key(attempt.id)
    same = by_key(shared)[key]
    boxes.fit_boxes(shared)
    assert by_key(shared)[key] is same
    assert by_key(shared)[choosing.pick_key(shared)] == attempt.id


def test_a_page_that_has_not_heard_of_an_example_does_not_send_the_old_text(shared: Store) -> None:
    boxes.fit_boxes(shared)
    old_box = boxes.prompt_key(shared)
    use_example(shared, "a city", ("a city",))
    by_key(shared)[old_box] = ""
    moves.generate(shared, shared["click_id"], choose)
    assert wishes(shared)[0].prompt == "a city"


def test_what_is_sent_does_not_depend_on_which_of_two_clicks_is_heard_first(
    shared: Store,
) -> None:
    boxes.fit_boxes(shared)
    moves.click(shared, "generate", shared["click_id"])
    use_example(shared, "a city", ("a city",))
    moves.ask(shared, choose)
    assert wishes(shared)[0].prompt == "a city"
    asked = waiting(shared)
    moves.ask(shared, choose)
    assert waiting(shared) == asked


def test_a_click_goes_to_what_was_on_the_screen(shared: Store) -> None:
    fox = make(shared, "a fox")
    moves.forget_decision(shared)
    moves.click(shared, "regenerate", shared["click_id"])
    moves.aim(shared)
    # Before it is followed another one comes under review, and the turn begins anew.
    owl = replace(fox, id="owl", wish=replace(fox.wish, prompt="an owl"))
    choosing.add(shared, [owl], "owl")
    moves.aim(shared)
    moves.ask(shared, choose)
    assert [wish.prompt for wish in wishes(shared)] == ["a fox"]
    assert shared["under_review"] == fox.id
    assert shared["aimed_at"] == ""


@pytest.mark.parametrize("move", ["regenerate", "change", "generate edited"])
def test_a_click_on_what_is_gone_asks_for_nothing_and_does_so_once(
    shared: Store, move: str
) -> None:
    fox = make(shared, "a fox")
    choosing.add(shared, [replace(fox, id="owl")], fox.id)
    moves.forget_decision(shared)
    shared["change"] = "make it night"
    moves.click(shared, move, shared["click_id"])
    moves.aim(shared)
    shared["attempts"] = shared["attempts"][1:]
    moves.mend(shared)
    assert shared["under_review"] == "owl"
    moves.ask(shared, choose)
    assert not waiting(shared)
    assert shared["clicked"] == ("", "")
    shared["attempts"] = ()
    moves.mend(shared)
    moves.click(shared, move, shared["click_id"])
    moves.ask(shared, choose)
    assert not waiting(shared)


def test_what_was_interrupted_may_come_after_whatever_a_person_does_meanwhile(
    shared: Store,
) -> None:
    make(shared, "a fox")
    pending = ask(shared, "an owl")
    moves.fail(shared, pending, INTERRUPTED, lost=1)
    moves.clear_settled(shared)
    moves.approve(shared, shared["under_review"])
    moves.forget_decision(shared)
    moves.start_over(shared)
    other = again(shared)
    assert other["failures"] == ()
    assert other["late"] == (pending,)
    other["error_message"] = "Something else."
    moves.receive_late(other, pending, result(other, "owl"))
    moves.receive_late(other, pending, result(other, "owl"))
    assert [attempt.id for attempt in other["attempts"]] == [pending.id]
    assert not other["late"]
    assert other["error_message"] == "Something else."


def test_what_comes_late_takes_its_own_message_away(shared: Store) -> None:
    first, second = (replace(ask(shared), id=one) for one in ("first", "second"))
    for pending in (first, second):
        moves.fail(shared, pending, INTERRUPTED)
    moves.clear_settled(shared, [*choosing.asked(shared)])
    moves.receive_late(shared, first, result(shared))
    assert shared["error_message"] == INTERRUPTED.sentence
    moves.receive_late(shared, second, result(shared))
    assert (shared["error_message"], shared["failures"]) == ("", ())


@pytest.mark.parametrize("first", ["click", "decision"])
def test_of_a_decision_and_a_click_in_one_breath_none_costs_money(
    shared: Store, first: str
) -> None:
    make(shared)
    steps = {
        "click": lambda: moves.click(shared, "regenerate", shared["click_id"]),
        "decision": lambda: moves.stop(shared, "start over"),
    }
    for step in (first, *(steps.keys() - {first})):
        steps[step]()
    moves.ask(shared, choose)
    assert not waiting(shared)
    assert (shared["decision"], shared["stop"]) == ("", "start over")
    shared["stop"] = ""
    moves.ask(shared, choose)
    assert not waiting(shared)


def test_what_was_just_typed_is_what_is_sent(shared: Store) -> None:
    boxes.fit_boxes(shared)
    by_key(shared)[boxes.prompt_key(shared)] = "typed"
    moves.generate(shared, shared["click_id"], choose)
    assert wishes(shared)[0].prompt == shared["task_input"] == "typed"


def test_own_files_are_added_to_those_that_are_there(shared: Store) -> None:
    files = [(f"sha{number}", f"{number}.png") for number in range(4)]
    boxes.use_references(shared, files[:2], "")
    boxes.use_references(shared, files[1:4], "One was scaled down.")
    assert shared["references"] == tuple(files[:4])
    assert shared["error_message"] == "One was scaled down."


def test_each_of_two_engines_is_asked_as_often(shared: Store) -> None:
    shared["count"], shared["task_input"] = 2, "a fox"
    by_key(shared)["two"] = True
    moves.generate(shared, shared["click_id"], choose)
    assert len(waiting(shared)) == 4
    assert len({pending.id for pending in waiting(shared)}) == 4


def test_one_own_file_is_left_out_and_the_others_stay(shared: Store) -> None:
    files = [(f"sha{number}", "me.png") for number in range(3)]
    boxes.use_references(shared, files, "")
    boxes.drop_reference(shared, "sha1")
    boxes.drop_reference(shared, "sha1")
    assert shared["references"] == (files[0], files[2])


def test_what_is_set_aside_is_passed_over_and_stands_at_the_end(shared: Store) -> None:
    one, two, three = (make(shared, words=words) for words in ("one", "two", "three"))
    choosing.set_aside(shared, two.id)
    assert [attempt.id for attempt in choosing.in_order(shared)] == [one.id, three.id, two.id]
    choosing.select(shared, one.id)
    choosing.step(shared, 1)
    assert shared["under_review"] == three.id
    choosing.step(shared, 1)
    assert shared["under_review"] == one.id
    # From one that is set aside the way goes on all the same.
    choosing.select(shared, two.id)
    choosing.step(shared, 1)
    assert shared["under_review"] == three.id
    choosing.set_aside(shared, two.id)
    assert not shared["aside"]


def test_keeping_and_setting_aside_exclude_each_other(shared: Store) -> None:
    attempt = make(shared)
    choosing.keep(shared, attempt.id)
    choosing.set_aside(shared, attempt.id)
    assert (shared["kept"], shared["aside"]) == ((), (attempt.id,))
    choosing.keep(shared, attempt.id)
    assert (shared["kept"], shared["aside"]) == ((attempt.id,), ())
    choosing.keep(shared, attempt.id)
    assert (shared["kept"], shared["aside"]) == ((), ())


def test_the_bound_takes_what_is_set_aside_first_and_never_what_is_kept(shared: Store) -> None:
    made = [make(shared, words=f"number {number}") for number in range(choosing.MAX_ATTEMPTS)]
    choosing.keep(shared, made[0].id)
    choosing.set_aside(shared, made[9].id)
    for words, gone in (("next", made[9]), ("one more", made[1])):
        make(shared, words=words)
        left = [attempt.id for attempt in shared["attempts"]]
        assert len(left) == choosing.MAX_ATTEMPTS
        assert gone.id not in left
        assert made[0].id in left


def test_who_keeps_all_there_is_room_for_is_told_before_anything_is_asked_for(
    shared: Store,
) -> None:
    for number in range(choosing.MAX_ATTEMPTS):
        choosing.keep(shared, make(shared, words=f"number {number}").id)
    moves.regenerate(shared, shared["click_id"], choose)
    assert not waiting(shared)
    assert "Keep one less" in shared["error_message"]


def test_what_one_click_brings_stays_whatever_is_kept_and_approved_meanwhile(shared: Store) -> None:
    old = [make(shared, f"number {number}") for number in range(choosing.MAX_ATTEMPTS)]
    for attempt in old[:20]:
        choosing.keep(shared, attempt.id)
    shared["count"] = 4
    moves.regenerate(shared, shared["click_id"], choose)
    pending = shared["pending"]
    assert len(pending) == 4
    for number, one in enumerate(pending):
        moves.approve(shared, old[20 + number].id)
        moves.receive(shared, one, result(shared, f"new {number}"))
    assert {one.id for one in pending} <= {one.id for one in shared["attempts"]}
    assert {one.id for one in old[:20]} <= {one.id for one in shared["attempts"]}


def test_a_change_with_too_many_sources_asks_for_nothing_and_says_so(shared: Store) -> None:
    make(shared)
    boxes.use_references(shared, [(f"sha{number}", "me.png") for number in range(16)], "")
    shared["change"] = "make it night"
    moves.change(shared, shared["click_id"], choose)
    assert not waiting(shared)
    assert "more than 16" in shared["error_message"]


def test_an_example_never_overwrites_a_persons_own_words(shared: Store) -> None:
    examples = ("a lighthouse", "a city")
    use_example(shared, "a city", examples)
    use_example(shared, "a lighthouse", examples)
    assert shared["task_input"] == "a lighthouse"
    shared["task_input"] = "my own"
    use_example(shared, "a city", examples)
    assert shared["task_input"] == "my own"


def test_a_recent_result_is_reopened_once_however_often_it_is_clicked(shared: Store) -> None:
    one, two = make(shared, "one"), make(shared, "two")
    moves.start_over(shared)
    assert [attempt.id for attempt in shared["recent"]] == [one.id, two.id]
    for _ in range(2):
        choosing.reopen(shared, one.id)
    # The other one was put away together with it.
    assert [attempt.id for attempt in shared["attempts"]] == [one.id, two.id]
    assert (shared["under_review"], shared["decision"]) == (one.id, "reopen")
    choosing.reopen(shared, "gone since")
    assert len(shared["attempts"]) == 2
    moves.start_over(shared)
    three = make(shared, "three")
    moves.start_over(shared)
    choosing.reopen(shared, one.id)
    assert [attempt.id for attempt in shared["attempts"]] == [one.id]
    choosing.reopen(shared, three.id)
    assert [attempt.id for attempt in shared["attempts"]] == [one.id, three.id]
    # By its number each is chosen, and named in the archive.
    assert [attempt.number for attempt in shared["attempts"]] == [1, 2]
    moves.start_over(shared)
    assert len(shared["recent"]) == 3
    choosing.clear_recent(shared)
    assert not shared["recent"]


def test_what_comes_after_approval_is_kept_and_announced_and_leaves_the_screen(
    shared: Store,
) -> None:
    one = make(shared, "one")
    pending = ask(shared, "two")
    moves.approve(shared, one.id)
    moves.enter(shared, "final")
    receive(shared, pending)
    assert shared["stage"] == "final"
    assert shared["under_review"] == one.id
    assert shared["unseen"] == (pending.id,)
    assert numbers(shared) == [1, 2]


def test_a_result_is_new_on_screen_once(shared: Store) -> None:
    one = make(shared)
    assert [choosing.look(shared), choosing.look(shared)] == [True, False]
    make(shared)
    choosing.look(shared)
    choosing.select(shared, one.id)
    assert not choosing.look(shared)


def test_attempts_are_bounded_and_what_is_approved_stays(shared: Store) -> None:
    first = make(shared, "first")
    moves.approve(shared, first.id)
    for number in range(choosing.MAX_ATTEMPTS + 2):
        make(shared, f"{number}")
    assert len(shared["attempts"]) == choosing.MAX_ATTEMPTS
    assert shared["attempts"][0] == first
    assert shared["attempts"][-1].number == choosing.MAX_ATTEMPTS + 3


def test_of_a_result_that_is_gone_nothing_is_left_for_a_reader(shared: Store) -> None:
    gone, stays = make(shared, "gone"), make(shared, "stays")
    moves.approve(shared, gone.id)
    choosing.select(shared, stays.id)
    names = [one.result.name for one in (gone, stays)]
    blobs.hold(shared["owner"], names)
    blobs.hold(shared["owner"], names[1:])
    moves.mend(shared)
    assert shared["final_result"] == ""
    assert shared["generated_image"] == base64_of("stays")


def test_what_was_reopened_is_not_the_first_to_go_when_it_is_put_away_again(shared: Store) -> None:
    oldest = make(shared, "oldest")
    for number in range(choosing.MAX_ATTEMPTS - 1):
        make(shared, f"number {number}")
    moves.start_over(shared)
    shared["put_away"] = ()
    choosing.reopen(shared, oldest.id)
    make(shared, "new")
    moves.start_over(shared)
    assert [one.wish.prompt for one in shared["recent"]][-2:] == ["oldest", "new"]
    assert len(shared["recent"]) == choosing.MAX_ATTEMPTS


def test_what_belongs_to_an_attempt_comes_back_with_it_and_goes_with_it(shared: Store) -> None:
    one, two = make(shared, "one"), make(shared, "two")
    choosing.select(shared, one.id)
    by_key(shared)[boxes.edit_key(one.id)] = "one in the snow"
    boxes.edit(shared, one.id)
    boxes.mark(shared, one.id, "[[1, 2]]")
    by_key(shared)[boxes.description_key(one.id)] = "A one."
    boxes.describe(shared, one.id)
    choosing.keep(shared, one.id)
    choosing.set_aside(shared, two.id)
    keys = ("edits", "marks", "descriptions", "kept", "aside")
    before = {key: by_key(shared)[key] for key in keys}
    assert all(before.values())
    moves.start_over(shared)
    make(shared, "three")
    moves.start_over(shared)
    choosing.reopen(shared, one.id)
    choosing.reopen(shared, two.id)
    assert {key: by_key(shared)[key] for key in keys} == before
    assert boxes.edited_prompt(shared) == two.wish.brief
    choosing.clear_recent(shared)
    shared["attempts"] = ()
    make(shared, "four")
    assert not any(by_key(shared)[key] for key in keys)


def test_start_over_resets_all_but_settings_costs_and_the_typed_key(shared: Store) -> None:
    by_key(shared)["tone"] = "warm"
    shared["count"], shared["api_key"] = 2, "sk-typed"
    attempt = make(shared)
    boxes.use_references(shared, [("sha", "me.png")], "")
    before = {**shared}
    rounds = shared["prompt_round"] + 1, shared["upload_round"] + 1
    moves.start_over(shared)
    kept = {"owner", "payer", "settings", "remembered", "api_key", "count", "costs", "tone"}
    assert {key: by_key(shared)[key] for key in kept} == {key: before[key] for key in kept}
    assert [one.id for one in shared["recent"]] == [attempt.id]
    assert (shared["prompt_round"], shared["upload_round"]) == rounds
    assert shared["click_id"] != before["click_id"]
    others = (
        set(DEFAULTS)
        - kept
        - {"recent", "put_away", "prompt_round", "pick_round", "upload_round", "click_id"}
    )
    assert {key: by_key(shared)[key] for key in others} == {
        key: cast("dict[str, object]", DEFAULTS)[key] for key in others
    }


def test_an_attempt_whose_bytes_are_gone_is_left_out_and_said_so(shared: Store) -> None:
    one, two = make(shared, "gone one"), make(shared, "gone two")
    moves.approve(shared, two.id)
    moves.enter(shared, "final")
    moves.mend(shared)
    assert shared["stage"] == "final"
    blobs.hold(shared["owner"], [one.result.name, two.result.name])
    blobs.hold(shared["owner"], [one.result.name])
    moves.mend(shared)
    assert [attempt.id for attempt in shared["attempts"]] == [one.id]
    assert (shared["stage"], shared["under_review"]) == ("user_feedback", one.id)
    assert shared["generated_image"] == base64_of("gone one")
    assert "gone" in shared["error_message"]
    blobs.forget(shared["owner"])
    moves.mend(shared)
    assert (shared["stage"], shared["under_review"]) == ("initial_input", "")


def test_a_recent_result_whose_bytes_are_gone_is_left_out(shared: Store) -> None:
    one, two = make(shared, "recent one"), make(shared, "recent two")
    moves.start_over(shared)
    blobs.hold(shared["owner"], [one.result.name, two.result.name])
    blobs.hold(shared["owner"], [two.result.name])
    moves.mend(shared)
    assert shared["recent"] == (two,)
    assert not shared["error_message"]


@pytest.mark.parametrize("stage", list(STAGES))
def test_no_stage_is_left_without_what_it_shows(shared: Store, stage: str) -> None:
    moves.enter(shared, stage)
    moves.mend(shared)
    assert shared["stage"] == "initial_input"


def test_what_calls_have_cost_is_counted_once_each(shared: Store) -> None:
    shared["count"] = 2
    pending = ask(shared)
    receive(shared, pending, cost=Cost(1000, 0.03))
    moves.receive(shared, pending, Text("", Cost(1000, 0.03)), lost=1)
    moves.fail(shared, shared["pending"][0], LOST, lost=2)
    assert sorted(one.lost for one in shared["costs"].values()) == [1, 2]
    assert sum(one.tokens for one in shared["costs"].values()) == 1000


def test_an_attempt_of_no_id_is_not_found(shared: Store) -> None:
    with pytest.raises(LookupError):
        choosing.find_attempt(shared, "none")


def test_start_over_keeps_what_is_kept_among_the_recent(shared: Store) -> None:
    kept = make(shared, "the one")
    choosing.keep(shared, kept.id)
    moves.start_over(shared)
    for _ in range(2):
        for number in range(choosing.MAX_ATTEMPTS):
            make(shared, f"number {number}")
        moves.start_over(shared)
    assert kept.id in [attempt.id for attempt in shared["recent"]]
    assert shared["kept"] == (kept.id,)
    assert len(shared["recent"]) == choosing.MAX_ATTEMPTS


def test_start_over_leaves_what_was_written_and_never_asked_for(shared: Store) -> None:
    old = make(shared)
    moves.start_over(shared)
    assert shared["task_input"] == ""
    shared["task_input"] = "a long brief"
    boxes.use_references(shared, [("sha", "me.png")], "")
    choosing.reopen(shared, old.id)
    moves.start_over(shared)
    assert shared["task_input"] == "a long brief"
    assert boxes.source_names(shared) == ("sha",)
    shared["task_input"] = old.wish.brief
    moves.start_over(shared)
    assert shared["task_input"] == ""
    assert boxes.source_names(shared) == ()
