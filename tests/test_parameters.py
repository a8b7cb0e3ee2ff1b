import pytest

from tests.calls import made, set_server, shared, wish
from tests.images_server import ImagesServer, json_answer, picture, plain
from utils import images
from utils.images import models
from utils.images.parameters import PARAMETERS, Parameter
from utils.review.records import Engine, Pending, Wish
from utils.settings import get_settings

BY_KEY = {parameter.key: parameter for parameter in PARAMETERS}


@pytest.fixture(autouse=True)
def settings(images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    set_server(images_server, monkeypatch)


def test_what_is_left_at_auto_is_not_chosen() -> None:
    engine, options = images.choose(shared())
    assert engine.model == "gpt-image-2.6-flare"
    assert options == {}


def test_what_was_chosen_goes_by_the_apis_own_names() -> None:
    chosen = shared(
        size="landscape", quality="max", background="opaque", output_format="webp", model="x-image"
    )
    engine, options = images.choose(chosen)
    assert engine.model == "x-image"
    assert options == {"size": "1536x1024", "background": "opaque", "output_format": "webp"}
    _, options = images.choose({**chosen, "model": ""})
    assert list(options.items())[1] == ("quality", "max")


def test_a_size_in_figures_is_checked_at_the_click() -> None:
    assert images.choose(shared(size="1536 x 864"))[1] == {"size": "1536x864"}
    with pytest.raises(ValueError, match="multiples of 16"):
        images.choose(shared(size="1000x1000"))


@pytest.mark.parametrize("key", ["sk-••••1234", "sk one"])
def test_a_key_that_can_be_none_is_a_sentence_at_the_click(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    images.choose(shared(api_key=key))
    monkeypatch.setenv("OPENAI_API_KEY", "")
    get_settings.cache_clear()
    with pytest.raises(ValueError, match="characters that no key has"):
        images.choose(shared(api_key=key))
    images.choose(shared(api_key=" sk-good\n"))
    assert images.engine(shared(api_key=key)).own_key


def test_choosing_changes_nothing_in_the_shared_store() -> None:
    store = shared(model="gpt-image-2", quality="max", extra=1)
    before = dict(store)
    assert images.choose(store)[1] == {}
    assert store == before


@pytest.mark.parametrize(
    ("changes", "fitting"),
    [
        ({"model": "gpt-image-2", "quality": "max"}, {"quality": "auto"}),
        ({"model": "gpt-image-2", "quality": "high"}, {}),
        ({"model": "gpt-image-2", "background": "transparent"}, {}),
        ({"model": "gpt-image-1.5", "size": "1536x864"}, {}),
        ({"model": "gpt-image-1.5", "size": "portrait"}, {}),
        ({"model": "gpt-image-2", "size": "1536x864"}, {}),
        ({"model": "gpt-image-2", "size": "nonsense"}, {}),
        ({"background": "transparent", "output_format": "jpeg"}, {"output_format": "auto"}),
        ({"background": "transparent", "output_format": "webp"}, {}),
        ({"background": "opaque", "output_format": "jpeg"}, {}),
        ({"background": "plaid"}, {"background": "auto"}),
    ],
)
def test_what_the_model_does_not_take_goes_back_to_auto(
    changes: dict[str, str], fitting: dict[str, str]
) -> None:
    store = shared(**changes)
    images.fit(store)
    assert store == shared(**{**changes, **fitting})


def test_a_size_that_the_chosen_model_lacks_is_told_with_one_that_fits() -> None:
    said = images.size_error(shared(model="gpt-image-1.5", size="1536x864"))
    assert said.endswith("The nearest size that fits is 1536x1024.")
    assert images.size_error(shared(model="gpt-image-1.5", size="landscape")) == ""


def test_the_demo_engine_offers_what_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    get_settings.cache_clear()
    assert images.choices(BY_KEY["quality"], "demo-painter", shared()) == ()
    assert images.choose(shared(quality="high", size="64x48"))[1] == {"size": "64x48"}


@pytest.mark.parametrize(
    ("key", "background", "values"),
    [
        ("size", "auto", ("square", "landscape", "portrait")),
        ("quality", "auto", ("low", "medium", "high", "xhigh", "max")),
        ("background", "auto", ("opaque", "transparent")),
        ("output_format", "auto", ("png", "jpeg", "webp")),
        ("output_format", "opaque", ("png", "jpeg", "webp")),
        ("output_format", "transparent", ("png", "webp")),
    ],
)
def test_the_choices_are_those_of_the_model(
    key: str, background: str, values: tuple[str, ...]
) -> None:
    store = shared(background=background)
    assert images.choices(BY_KEY[key], "gpt-image-2.6-flare", store) == values


def test_there_is_a_default_for_the_model_and_each_setting() -> None:
    named = {"model": "", "second_model": ""}
    assert dict(images.DEFAULTS) == {**named, **dict.fromkeys(BY_KEY, "auto")}


def test_two_models_are_asked_the_same_and_each_gets_what_it_takes() -> None:
    two = shared(model="gpt-image-2.6-flare", second_model="gpt-image-2", quality="max")
    (first, options), (second, others) = images.choose_engines({**two, "size": "landscape"})
    assert (first.model, second.model) == ("gpt-image-2.6-flare", "gpt-image-2")
    assert options == {"size": "1536x1024", "quality": "max"}
    assert others == {"size": "1536x1024"}
    said = images.lacking(two)
    assert said == "The second model has not the quality that you chose, and takes its own."
    assert images.lacking({**two, "quality": "high"}) == ""


def test_a_second_model_that_cannot_take_the_size_is_named() -> None:
    two = shared(model="gpt-image-2", second_model="gpt-image-1.5", size="1536x864")
    with pytest.raises(ValueError, match=r"^With the second model: This model takes only"):
        images.choose_engines(two)


def test_a_second_model_that_is_the_first_is_none() -> None:
    two = shared(model="gpt-image-2", second_model="gpt-image-2")
    assert len(images.choose_engines(two)) == 1
    images.fit(two)
    assert two["second_model"] == ""


def test_only_settings_with_a_record_are_sent_and_each_may_be_refused(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever sends one more setting gives it a Parameter, or every refusal ends in a failure."""
    monkeypatch.setenv("IMAGE_STREAM", "off")
    get_settings.cache_clear()
    offered = {key for model in models.MODELS for key in model.choices}
    assert offered == set(BY_KEY)
    for parameter in PARAMETERS:
        (value, *_) = images.choices(parameter, "gpt-image-2.6-flare", shared())
        engine, options = images.choose(shared(**{parameter.key: value}))
        assert options.keys() == {parameter.key}
        body = {"error": {"message": "no", "param": parameter.key}}
        images_server.script(json_answer(body, 400), plain(picture()))
        answer = made(wish(options=options, engine=engine))
        assert answer.refused == (parameter.key,)
        sent = [set(call.wish) - {"prompt", "model"} for call in images_server.calls]
        assert sent == [{parameter.key}, set()]


def test_one_more_setting_takes_a_record_and_its_values(
    images_server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_more = Parameter("grain", "Grain", "the grain", ("grain",), paces=True)
    parameters = (*PARAMETERS, one_more)
    for module in ("utils.images.parameters", "utils.images.api"):
        monkeypatch.setattr(f"{module}.PARAMETERS", parameters)
    monkeypatch.setattr("utils.images.parameters.DEFAULTS", {**images.DEFAULTS, "grain": "auto"})
    finest = models.Model("fine", {**models.SIMPLE, "grain": ("fine", "coarse")})
    monkeypatch.setattr(models, "MODELS", (finest, *models.MODELS))
    store = shared(model="fine-image", grain="fine")
    assert images.choices(one_more, "fine-image", store) == ("fine", "coarse")
    engine, options = images.choose(store)
    assert options == {"grain": "fine"}
    assert images.kind(Wish("fox", engine, options)) != images.kind(Wish("fox", engine))
    store["model"] = "another"
    images.fit(store)
    assert store["grain"] == "auto"


def test_the_size_to_come_is_what_is_waited_for_or_chosen() -> None:
    engine = Engine("x", "any")
    pendings = [
        Pending("1", "c", Wish("fox", engine, {"size": "1024x1536"})),
        Pending("2", "c", Wish("fox", engine, {"size": "640x480"})),
    ]
    assert images.size_to_come(shared(size="landscape"), pendings) == (1024, 1536)
    open_size = Pending("1", "c", Wish("fox", engine))
    assert images.size_to_come(shared(size="landscape"), [open_size]) == (1024, 1024)
    assert images.size_to_come(shared(size="landscape"), ()) == (1536, 1024)
    assert images.size_to_come(shared(size="nonsense"), ()) == (1024, 1024)
