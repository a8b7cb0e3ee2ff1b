"""What a person types, marks and brings along, and the boxes that show it."""

from collections.abc import Mapping, Sequence

from utils.review import choosing
from utils.review.interruptions import uninterrupted
from utils.review.records import Pending
from utils.review.store import Store, by_key, clear_error

# In characters: the most that a page sends by itself, of strokes on a picture.
LONGEST = 200_000


def keep_widgets(shared: Store) -> None:
    """Keep what was typed: Streamlit wipes what arrives in the run that disables its widget."""
    values = by_key(shared)
    boxes = (prompt_key(shared), edit_key(shared["under_review"]))
    for key in (*boxes, "change", "count", "api_key", *shared["settings"]):
        if key in values:
            values[key] = values[key]


def prompt_key(shared: Store) -> str:
    """Return the key of the prompt box: another one when its text is not what was typed there.

    A page that has not heard of the new text yet would send the old one with the next click.
    """
    return f"prompt-{shared['prompt_round']}"


@uninterrupted
def type_prompt(shared: Store, key: str) -> None:
    """Keep the prompt that a program has written into the box of this key."""
    shared["task_input"] = str(by_key(shared)[key])
    # The box that a person would have holds the same.
    fit_boxes(shared)


@uninterrupted
def edit_prompt(shared: Store) -> None:
    """Keep the text of the prompt box."""
    text = by_key(shared).get(prompt_key(shared))
    if isinstance(text, str):
        shared["task_input"] = text


@uninterrupted
def use_example(shared: Store, key: str, examples: Sequence[str]) -> None:
    """Put the example that was chosen in the box of this key into the prompt box.

    But never over a person's own words.
    """
    example = by_key(shared)[key]
    edit_prompt(shared)
    if example and shared["task_input"].strip() in ("", *examples):
        shared["task_input"] = str(example)
        shared["prompt_round"] += 1


def edit_key(attempt_id: str) -> str:
    """Return the key of the prompt box that belongs to an attempt."""
    return f"edit-{attempt_id}"


@uninterrupted
def edit(shared: Store, attempt_id: str) -> None:
    """Keep the text of an attempt's prompt box with the attempt."""
    text = by_key(shared).get(edit_key(attempt_id))
    if isinstance(text, str):
        shared["edits"] = {**shared["edits"], attempt_id: text}


def carry_edit(shared: Store, pending: Pending) -> None:
    """Let what was typed for one attempt of a prompt stand in the box of the next one too."""
    typed = shared["edits"].get(shared["under_review"])
    if typed is None or pending.id in shared["edits"]:
        return
    if choosing.find_attempt(shared, shared["under_review"]).wish.brief == pending.wish.brief:
        shared["edits"] = {**shared["edits"], pending.id: typed}


def forget_sent(shared: Store, brief: str) -> None:
    """Keep in no box what was sent: it is the prompt of what has come."""
    edits = shared["edits"]
    shared["edits"] = {one: text for one, text in edits.items() if text != brief}


def edited_prompt(shared: Store) -> str:
    """Return what was typed into the box of the attempt under review, else its own prompt."""
    attempt = choosing.find_attempt(shared, shared["under_review"])
    return shared["edits"].get(attempt.id, attempt.wish.brief)


def fit_boxes(shared: Store) -> None:
    """Make the boxes show what belongs to them."""
    values = by_key(shared)
    attempt_id = shared["under_review"]
    fitting = {
        prompt_key(shared): shared["task_input"],
        choosing.pick_key(shared): attempt_id or None,
    }
    if attempt_id:
        fitting[edit_key(attempt_id)] = edited_prompt(shared)
    for key, value in fitting.items():
        # A box that is set anew would lose what is just being typed.
        if values.get(key) != value:
            values[key] = value


@uninterrupted
def mark(shared: Store, attempt_id: str, mark: str) -> None:
    """Note where on an attempt something is to be different, as the engine's page writes it."""
    shared["marks"] = {**shared["marks"], attempt_id: mark}


def description_key(attempt_id: str) -> str:
    """Return the key of the box for words about an approved attempt."""
    return f"description-{attempt_id}"


@uninterrupted
def describe(shared: Store, attempt_id: str) -> None:
    """Keep the words that a person has written for those who cannot perceive an attempt."""
    text = by_key(shared).get(description_key(attempt_id))
    if isinstance(text, str):
        shared["descriptions"] = {**shared["descriptions"], attempt_id: text}


@uninterrupted
def use_references(shared: Store, references: Sequence[tuple[str, str]], sentence: str) -> None:
    """Make the next results from these too: names in the table of blobs, and names for people."""
    clear_error(shared)
    shared["references"] = tuple(dict((*shared["references"], *references)).items())
    shared["error_message"] = sentence


@uninterrupted
def drop_reference(shared: Store, name: str) -> None:
    """Use one of a person's own files no more, by its name in the table of blobs."""
    shared["references"] = tuple(one for one in shared["references"] if one[0] != name)


@uninterrupted
def drop_references(shared: Store) -> None:
    """Use a person's own files no more."""
    shared["references"] = ()
    empty_uploads(shared)


@uninterrupted
def empty_uploads(shared: Store) -> None:
    """Empty the box that takes a person's own files."""
    shared["upload_round"] += 1


def source_names(shared: Store) -> tuple[str, ...]:
    """Return the names of a person's own files in the table of blobs."""
    return tuple(name for name, _ in shared["references"])


def in_bounds(values: Mapping[str, object]) -> dict[str, object]:
    """Return values without the texts that are longer than anybody writes.

    Nobody can ask for anything by them, and they would be in memory for as long as a browser is
    remembered.
    """
    bounded = dict[str, object]()
    for key, value in values.items():
        if isinstance(value, Mapping):
            bounded[key] = {name: one for name, one in value.items() if _fits(one)}
        elif _fits(value):
            bounded[key] = value
    return bounded


def _fits(value: object) -> bool:
    return not isinstance(value, str) or len(value) <= LONGEST
