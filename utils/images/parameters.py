"""The settings of a picture, one record each, and what a person has chosen of them."""

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass

from utils.images import engines, models
from utils.review.records import Engine, Pending
from utils.spending import SpentError, spending

AUTO = "auto"


@dataclass(frozen=True)
class Parameter:
    """One setting, under the `key` that it has in the shared store and in the API alike.

    `label` is its name on the page and `words` its name in a sentence; `refusals` are the names
    by which servers refuse it; `paces` is True where it changes how long a picture takes. Which
    values a model takes stands in the table of models.
    """

    key: str
    label: str
    words: str
    refusals: tuple[str, ...]
    paces: bool


PARAMETERS = (
    Parameter("size", "Size", "the size", ("size", "width", "height"), paces=True),
    Parameter("quality", "Quality", "the quality", ("quality",), paces=True),
    Parameter("complexity", "Complexity", "the complexity", ("complexity",), paces=True),
    Parameter("background", "Background", "the background", ("background",), paces=False),
    Parameter("output_format", "Format", "the format", ("output_format", "format"), paces=False),
)
DEFAULTS: Mapping[str, str] = {
    "model": "",
    "second_model": "",
    **{parameter.key: AUTO for parameter in PARAMETERS},
}


def choices(parameter: Parameter, model: str, shared: Mapping[str, object]) -> tuple[str, ...]:
    """Return the values that may be chosen besides auto; () where the setting is not offered.

    A size may be any other one too: `size_error` says whether the model takes it.
    """
    values = models.known(model).choices.get(parameter.key, ())
    if parameter.key == "output_format" and shared["background"] == "transparent":
        return tuple(value for value in values if value != "jpeg")
    return values


def choose(shared: Mapping[str, object]) -> tuple[Engine, dict[str, str]]:
    """Return who is to make a picture, and the settings that were chosen, by the API's names.

    What is left at auto is not among them, nor what the model is documented not to take. Raises
    ValueError, with a sentence for a person, where the size or the key cannot be used.
    """
    engine = engines.engine(shared)
    engines.check_key(engine, str(shared["api_key"]))
    fitting = {key: shared[key] for key in (*DEFAULTS, "api_key")}
    fit(fitting)
    options = {one.key: str(fitting[one.key]) for one in PARAMETERS}
    if options["size"] != AUTO:
        options["size"] = models.check_size(engine.model, options["size"])
    return engine, {key: value for key, value in options.items() if value != AUTO}


def choose_engines(shared: Mapping[str, object]) -> list[tuple[Engine, dict[str, str]]]:
    """Return the same as `choose` for each model that is chosen: one, or two.

    Raises ValueError where one of them cannot be asked so, with a sentence for a person, and
    SpentError where so many may not be asked for now.
    """
    first = choose(shared)
    other = _with_second(shared)
    chosen = [first]
    if engines.engine(other) != first[0]:
        try:
            chosen.append(choose(other))
        except ValueError as exc:
            # Not by its name: a server may have named it, and the page would read it as markdown.
            raise ValueError(f"With the second model: {exc}") from exc
    count = int(str(shared["count"]))
    dollars = [models.most_expected(one, options) for one, options in chosen] * count
    if refusal := spending.refusal(str(shared["payer"]), dollars):
        raise SpentError(refusal)
    return chosen


def lacking(shared: Mapping[str, object]) -> str:
    """Return which of the chosen settings the second model lacks, as a sentence; '' if none."""
    try:
        chosen = choose_engines(shared)
    except ValueError:
        return ""
    (_, first), (_, options) = chosen[0], chosen[-1]
    names = [one.words for one in PARAMETERS if one.key in first and one.key not in options]
    if not names:
        return ""
    return f"The second model has not {' and '.join(names)} that you chose, and takes its own."


def size_error(shared: Mapping[str, object]) -> str:
    """Return what is wrong with a size that was typed, as a sentence; empty if nothing."""
    size = str(shared["size"])
    try:
        models.check_size(engines.engine(shared).model, size)
    except ValueError as exc:
        return "" if size == AUTO else str(exc)
    return ""


def fit(shared: MutableMapping[str, object]) -> None:
    """Put back to auto what the chosen model is documented not to take; drop a second model that
    is the first.

    JPEG has no transparency, so it goes back too where the background is to be transparent. A size
    stays as it was chosen, fitting or not, for the person to correct.
    """
    engine = engines.engine(shared)
    if engines.engine(_with_second(shared)) == engine:
        shared["second_model"] = ""
    model = engine.model
    for parameter in PARAMETERS:
        allowed = (AUTO, *choices(parameter, model, shared))
        if parameter.key != "size" and shared[parameter.key] not in allowed:
            shared[parameter.key] = AUTO


def _with_second(shared: Mapping[str, object]) -> dict[str, object]:
    """Return the settings as if the second model, where there is one, were the first."""
    second = {key: shared[key] for key in (*DEFAULTS, "api_key")}
    return {**second, "model": shared["second_model"] or shared["model"]}


def size_to_come(shared: Mapping[str, object], pendings: Sequence[Pending]) -> tuple[int, int]:
    """Return width and height in pixels that the next picture will have, square if left open."""
    try:
        options = pendings[0].wish.options if pendings else choose(shared)[1]
    except ValueError:
        options = {}
    return models.pixels(options.get("size", models.PRESETS["square"]))
