"""What the page shows of pictures: the picture, its facts and its download, and the form beside it.

An engine of another kind brings a module with the same functions; the screens know no more of it.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from html import escape
from typing import TypeVar, cast

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.scriptrunner import ScriptRunContext, get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from utils import images, marks
from utils.images.record_page import described
from utils.images.record_page import render_record as render_record
from utils.images.record_page import show_plain_record as show_plain_record
from utils.marks import surface
from utils.review import boxes, choosing, moves
from utils.review.blobs import NoRoomError, blobs
from utils.review.interruptions import uninterrupted
from utils.review.records import Attempt, Cost, Engine, Pending
from utils.review.store import Store, by_key, clear_error
from utils.scripts import script_tag
from utils.spending import SpentError, left_in_words, spending

PLACEHOLDER = "What should the picture show?"
PLACE = "Your picture will appear here"
INTRODUCTION = "Describe a picture and generate it. Then approve it, or ask for another."
DEMO = (
    "This is a demo: a small program on this server paints the pictures, without AI and for free. "
    "It knows landscapes, water, cities and weather; of all else it makes coloured shapes."
)
# How the part is named where a person brings sources of their own; '' where there are none.
SOURCES = "Use my pictures"
LOOKING = "Looking at what you brought…"
WRITE_A_SIZE = "Or write WIDTHxHEIGHT in pixels, such as 1536x864."
EXAMPLES = (
    "A lighthouse by the sea at sunset",
    "Snowy mountains above a quiet lake at dawn",
    "A city by the water on a starry night",
)

Value = TypeVar("Value")

# What pictures do beyond being there is in scripts of their own; their words are here.
VIEWER = f"""
{script_tag("pictures.js")}
{script_tag("viewer.js")}
{script_tag("inbox.js")}
{script_tag("bell.js")}
<template id="corner">
<nav>
<button type="button" data-look="1">Full size</button>
<button type="button" data-look="2">Compare</button>
</nav>
</template>
<template id="unusable">
<p class="told" role="alert">Only PNG, JPEG and WebP pictures can be used here.</p>
</template>
<template id="missing">
<p class="told" role="alert">
One of your pictures is not here. Bring it again, or ask without it.
</p>
</template>
<template id="gone">
<p class="told" role="alert">Your pictures are here, and the page has gone on. Ask once more.</p>
</template>
<template id="resting">
<p class="told" role="alert">No picture is taken while one is being made. Bring it after that.</p>
</template>
<template id="coming">
<p class="told" role="status">
Your pictures are still on their way. The next one is made when they are here.
</p>
</template>
<template id="viewer">
<dialog aria-label="Look closer">
<header>
<button type="button" data-key="1">One</button>
<button type="button" data-key="2">Two</button>
<button type="button" data-key="4">Four</button>
<button type="button" data-key="f">Flip</button>
<button type="button" data-key="t">Differences</button>
<button type="button" data-key="z">Zoom</button>
<button type="button" data-key="Escape">Close</button>
</header>
<main tabindex="-1"></main>
<footer>
<span>Numbers and arrows choose, F flips, T tints what differs.</span>
<b class="approves">A approves.</b> Z zooms, Shift and arrows move, Esc closes.
</footer>
</dialog>
</template>
<template id="pane">
<section>
<div><img></div>
<p><b></b> <small></small> <button type="button">Approve</button>
<span><span>Preview: the original is on its way</span><span>Original</span></span></p>
</section>
</template>
<button type="button" data-bell hidden>Tell me when it is my turn</button>
"""
NOTHING = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'/%3E"
BRACKETS = str.maketrans("<>", "\u2039\u203a")


def show(shared: Store, place: DeltaGenerator, attempt: Attempt) -> None:
    """Show an attempt's picture as it is on the screen; the script brings the API's own bytes."""
    address = images.address(attempt.result.name, "screen")
    image = _image_of(attempt, address, described(shared, attempt))
    place.html(f'<figure class="picture">{image}</figure>')


def show_plain(attempt: Attempt) -> None:
    """Show an attempt to a program: where its own bytes are, and how it came to be."""
    st.image(
        f"/{images.address(attempt.result.name)}",
        alt=f"Picture {attempt.number}: {images.shorten(attempt.wish.prompt)}",
    )
    render_facts(attempt)


def show_draft(place: DeltaGenerator, draft: object) -> DeltaGenerator:
    """Show a partial picture, and return where."""
    picture = cast("images.Draft", draft)
    mime = images.MIME[images.extension_of(picture.screen)]
    data = f"data:{mime};base64,{images.encode(picture.screen)}"
    image = _image(data, "Draft", (picture.width, picture.height))
    return place.html(f'<figure class="draft">{image}</figure>')


def show_place(shared: Store, place: DeltaGenerator) -> DeltaGenerator:
    """Hold the place of the picture to come, and say what it is for. Return where drafts go."""
    image = _image(NOTHING, PLACE, images.size_to_come(by_key(shared), shared["pending"]))
    if shared["pending"]:
        return place.html(f'<figure class="waiting">{image}</figure>')
    words = [INTRODUCTION] + [DEMO] * images.is_demo(images.engine(by_key(shared)))
    lines = "".join(f"<p>{line}</p>" for line in words)
    return place.html(f'<figure class="idle">{image}<figcaption>{lines}</figcaption></figure>')


def show_small(attempts: Sequence[Attempt], pale: Collection[str] = ()) -> None:
    """Show the attempts' thumbnails, as one element; those of the ids in `pale` stand back."""
    addresses = [images.address(one.result.name, "thumbnail") for one in attempts]
    _show_small(
        _image_of(one, address, images.shorten(one.wish.prompt), " data-aside" * (one.id in pale))
        for one, address in zip(attempts, addresses, strict=True)
    )


def _show_small(written: Iterable[str]) -> None:
    st.html(f'<div class="small">{"".join(written)}</div>')


def _image_of(attempt: Attempt, address: str, alt: str, more: str = "") -> str:
    """Return an attempt's picture as HTML, with what the viewer must know of it."""
    picture = cast("images.Picture", attempt.result)
    maker = escape(attempt.wish.engine.model)
    whose = f' data-attempt="{attempt.id} {attempt.number}" data-maker="{maker}"{more}'
    return _image(address, alt, (picture.width, picture.height), whose)


def _image(address: str, alt: str, size: tuple[int, int], more: str = "") -> str:
    """Return a picture as HTML. What a person has typed has no brackets that could make a tag."""
    words = escape(alt.translate(BRACKETS))
    return f'<img src="{address}" alt="{words}" style="--shape:{size[0]}/{size[1]}"{more}>'


def render_download(attempt: Attempt, *, primary: bool) -> None:
    """Hand out the API's own bytes."""
    extension = cast("images.Picture", attempt.result).extension
    st.download_button(
        f"Download {extension.upper()}",
        # Not a function called at the click: that would fail where the next screen comes first.
        blobs.get(attempt.result.name) or b"",
        file_name=images.file_name(attempt.wish.brief, extension),
        mime=images.MIME[extension],
        type="primary" if primary else "secondary",
        shortcut="D",
        on_click="ignore",
    )


def render_marking(shared: Store, attempt: Attempt) -> None:
    """Let a person mark on the picture where it is to be different; say what is marked."""
    picture = cast("images.Picture", attempt.result)
    size, drawn = (picture.width, picture.height), shared["marks"].get(attempt.id, "")

    def take(strokes: str) -> None:
        mark = marks.read(strokes, size)
        boxes.mark(shared, attempt.id, marks.write(mark) if mark else "")

    surface.render(f"mark-{attempt.id}", attempt.id, size, drawn, take)
    mark = marks.read(drawn, size)
    st.text(f"Marked: {marks.describe(mark)}." if mark else "Nothing is marked.")


def render_facts(attempt: Attempt) -> None:
    """Show how a picture came to be, and what was asked for in vain."""
    picture = cast("images.Picture", attempt.result)
    engine = attempt.wish.engine
    facts = [
        f"Picture {attempt.number}",
        "Demo, which knows landscapes" if images.is_demo(engine) else engine.model,
        f"{picture.width} x {picture.height} {picture.extension.upper()}",
    ]
    if not picture.made_of:
        facts.append(f"{picture.seconds:.0f} s")
    if picture.cost.tokens or picture.cost.dollars:
        facts.append(cost_in_words(picture.cost))
    if found := images.read_credentials(picture.name):
        signer = found.signer if found.state == "valid" else ""
        facts.append(f"signed by {signer}" if signer else "carries content credentials")
    st.text(" · ".join(facts))
    if picture.made_of:
        st.text("The marked place of one picture, and all else of another. No model was asked.")
    if sources := attempt.wish.sources:
        with st.container(key="sources"):
            _show_small(["Made from", *(_source(name, "A picture") for name in sources)])
    if picture.refused:
        words = {one.key: one.words for one in images.PARAMETERS}
        names = " and ".join(words[name] for name in picture.refused)
        st.info(f"The server would not take {names} that you chose, and made its own choice.")


def render_changes(shared: Store, attempt: Attempt) -> None:
    """Say what differs from the attempt that this one comes from; offer to put the rest back."""
    picture, wish = cast("images.Picture", attempt.result), attempt.wish
    parent = next((one for one in shared["attempts"] if one.id == wish.parent), None)
    if parent:
        words = images.prompt_difference(parent.wish.brief, wish.brief)
        # What is put together here has its settings from nobody.
        settings = "" if picture.made_of else images.settings_difference(parent.wish, wish)
        if words:
            st.html(f'<p class="difference">From picture {parent.number}: {words}</p>')
        if settings:
            st.text(settings)
    if picture.outside is not None:
        percent = math.ceil(picture.outside * 100)
        st.text(f"{percent} % outside your mark changed" if percent else "Nothing else changed.")
        st.button(
            "Put the rest back",
            key=f"put-back-{attempt.id}",
            on_click=put_rest_back,
            args=(shared, attempt.id),
        )


@uninterrupted
def put_rest_back(shared: Store, attempt_id: str) -> None:
    """Add an attempt: the marked place of this one, and all else of the one that it comes from."""
    clear_error(shared)
    try:
        attempt = choosing.find_attempt(shared, attempt_id)
        wish = replace(attempt.wish, engine=images.COMPOSER)
        picture = cast("images.Picture", attempt.result)
        made = images.put_back(shared["owner"], wish.sources[0], picture, wish.mark)
    except (LookupError, ValueError):
        shared["error_message"] = "The picture before the change is no longer kept here."
    except NoRoomError:
        shared["error_message"] = "There is no room for one more picture. Start over to make some."
    else:
        # Two clicks make one: its id follows from what it is made of.
        made_here = f"{attempt_id}-put-back"
        moves.receive(shared, Pending(made_here, made_here, wish), made)
        choosing.select(shared, made_here)


def cost_in_words(cost: Cost) -> str:
    """Return a count of tokens, with dollars where they are known or can be estimated."""
    words = [f"{cost.tokens:,} tokens"] if cost.tokens else []
    if cost.dollars:
        words.append(
            f"${cost.dollars:.3f}" if cost.told else f"about ${cost.dollars:.3f} (estimate)"
        )
    return ", ".join(words)


def render_examples(shared: Store) -> None:
    """Offer prompts to start from."""
    if shared["pending"] or shared["task_input"].strip() not in ("", *EXAMPLES):
        # An empty place, as for errors: what follows stays where it is when the examples go.
        st.empty()
        return
    # No buttons: Streamlit drops a press that the next click overtakes, but never a choice.
    key = f"example-{shared['prompt_round']}"
    st.pills(
        "Or start from one of these:",
        EXAMPLES,
        key=key,
        wrap=True,
        on_change=boxes.use_example,
        args=(shared, key, EXAMPLES),
    )


def render_along(shared: Store) -> None:
    """Show the person's own pictures that go along, each with its name, to be left out."""
    st.text("It is made from your pictures:")
    with st.container(key="along", gap="xxsmall"):
        for number, (name, file_name) in enumerate(shared["references"], 1):
            with st.container(horizontal=True, vertical_alignment="center", key=f"along-{name}"):
                label = escape(file_name.translate(BRACKETS))
                _show_small([_source(name, file_name), f"<span>{label}</span>"])
                st.button(
                    f"Remove {number}",
                    key=f"remove-{name}",
                    on_click=boxes.drop_reference,
                    args=(shared, name),
                    disabled=bool(shared["pending"]),
                )


def _source(name: str, alt: str) -> str:
    """Return a picture that another is made from as HTML, by its name in the table of blobs."""
    return _image(images.address(name, "thumbnail"), alt, (1, 1))


def render_references(shared: Store) -> None:
    """Take up to 16 pictures that the next ones are made from."""
    brought = st.file_uploader(
        "The next picture is made from these: a thing to show, a style to follow, a photo to "
        "change. PNG, JPEG or WebP, up to 16.",
        type=["png", "jpg", "jpeg", "jfif", "webp"],
        accept_multiple_files=True,
        key=upload_key(shared),
        disabled=bool(shared["pending"]),
    )
    if brought:
        with st.spinner(LOOKING):
            take_uploads(shared)
        st.rerun()


def take_in(shared: Store) -> None:
    """Take what a click that costs money has found here, and no turn has taken before it."""
    if shared["clicked"][0] and by_key(shared).get(upload_key(shared)):
        take_uploads(shared)


def upload_key(shared: Store) -> str:
    """Return the key of the box for pictures: another one empties it, when they are taken or
    removed."""
    return f"uploads-{shared['upload_round']}"


@uninterrupted
def take_uploads(shared: Store) -> None:
    """Add the pictures that the box shows to those that are there, where a reload finds them.

    It shows them in the order in which they were given, once the last of them has come.

    Where one cannot be used, a person is told so before anything is made without it.
    """
    # Those that are shown still, but were taken, have no bytes.
    shown = cast("Sequence[object]", by_key(shared)[upload_key(shared)])
    if brought := [file for file in shown if isinstance(file, UploadedFile)]:
        uploads = [(file.name, file.getvalue()) for file in brought]
        along = [name for name, _ in shared["references"]]
        taken, sentence = images.take_uploads(shared["owner"], uploads, along)
        boxes.use_references(shared, [(one.name, one.file_name) for one in taken], sentence)
        if len(taken) < len(brought):
            shared["clicked"] = ("", "")
        # Streamlit would keep them as long as the session.
        context = cast("ScriptRunContext", get_script_run_ctx())
        context.uploaded_file_mgr.remove_session_files(context.session_id)
    boxes.empty_uploads(shared)


def render_side_bar(shared: Store) -> None:
    """Take the settings, and a key if need be; say who makes the pictures and what they cost."""
    engine = images.engine(by_key(shared))
    listed = images.listed_models(engine, shared["api_key"])
    names = [model.name for model in listed or ()]
    with st.sidebar:
        if shared["stage"] == "final":
            # Nothing is asked for there.
            st.empty()
        else:
            with st.container():
                st.subheader("Settings", anchor=False)
                render_settings(shared, engine, names)
        # Here, because it is on every screen.
        st.html(VIEWER, unsafe_allow_javascript=True)
        who = [f"Model: {engine.model}", f"Server: {engine.name}"]
        demo = images.is_demo(engine)
        st.text("\n".join([*([engine.name] if demo else who), *spending_in_words(shared)]))
        if listed is None:
            await_models(engine, shared["api_key"])
        for model in listed or ():
            if model.name == engine.model:
                show_warning(images.retirement(model, date.today(), names))
        if demo:
            st.info(
                "No AI model is at work. For one, enter a key here, or set OPENAI_API_KEY on the "
                "server."
            )
        if images.asks_for_key():
            st.text_input(
                images.key_label(),
                type="password",
                key="api_key",
                disabled=bool(shared["pending"]),
                help="Used in this session alone, and forgotten when the page closes.",
                autocomplete="off",
            )
            show_warning(images.key_warning())


@st.fragment(run_every=1.0)
def await_models(engine: Engine, key: str) -> None:
    """Show the models that can be chosen as soon as a slow server has listed them.

    One that lists none changes nothing: a run without need would take a click that it meets.
    """
    if images.has_listed(engine, key):
        st.rerun()


def render_settings(shared: Store, engine: Engine, listed: Sequence[str]) -> None:
    """Offer what the chosen model is not documented to lack; `listed` are the server's models."""
    default = images.engine({**by_key(shared), "model": ""}).model
    models = ["", *sorted({*listed, str(by_key(shared)["model"])} - {default, ""})]
    if len(models) > 1:
        render_setting(shared, "Model", "model", models, lambda name: name or default)
        others = ["", *(name for name in [default, *models[1:]] if name != engine.model)]
        render_setting(shared, "Compare with", "second_model", others, lambda name: name or "none")
        show_warning(images.lacking(by_key(shared)))
    render_setting(shared, "Pictures at a time", "count", range(1, moves.MAX_COUNT + 1))
    for parameter in images.PARAMETERS:
        values = images.choices(parameter, engine.model, by_key(shared))
        size = parameter.key == "size"
        if values:
            offered = [images.AUTO, *values]
            help = WRITE_A_SIZE if size else None
            render_setting(shared, parameter.label, parameter.key, offered, in_pixels, help)
        # At the field, and before anything is asked for.
        if size:
            show_warning(images.size_error(by_key(shared)))


def render_setting(
    shared: Store,
    label: str,
    key: str,
    values: Sequence[Value],
    in_words: Callable[[Value], str] = str,
    help: str | None = None,
) -> None:
    """Offer a setting; where there is `help`, it says what other values may be written."""
    chosen = cast("Value", by_key(shared)[key])
    # What will be asked for is shown, also where it is offered no more.
    offered = list(values) if chosen in values else [*values, chosen]
    st.selectbox(
        label,
        offered,
        # Also where the page builds the box anew, which Streamlit tells of nothing else.
        index=offered.index(chosen),
        key=key,
        disabled=bool(shared["pending"]),
        format_func=in_words,
        accept_new_options=bool(help),
        help=help,
    )


def show_warning(sentence: str) -> None:
    """Show a sentence that warns; '' shows nothing."""
    if sentence:
        st.warning(sentence)


def in_pixels(value: str) -> str:
    """Return a setting's value for people: a size by name with its pixels."""
    return f"{value}, {images.PRESETS[value]}" if value in images.PRESETS else value


def spending_in_words(shared: Store) -> list[str]:
    """Return what this session's pictures have cost, as lines of text; none before the first."""
    costs = shared["costs"].values()
    total = Cost(
        sum(one.tokens for one in costs),
        sum(one.dollars for one in costs),
        told=all(one.told for one in costs if one.dollars),
    )
    lost = sum(one.lost for one in costs)
    made = sum(1 for one in costs if one.tokens or one.dollars)
    lines = []
    if made:
        pictures = "1 picture" if made == 1 else f"{made} pictures"
        lines = ["", f"This session: {pictures}, {cost_in_words(total)}"]
    if lost:
        tries = "1 try that brought nothing" if lost == 1 else f"{lost} tries that brought nothing"
        lines.append(f"{tries} may have been billed too")
    return lines


def show_estimate(shared: Store, place: DeltaGenerator) -> None:
    """Say what several pictures, or one of a costly quality, will probably cost; and what is left
    of the limits, if there are any."""
    try:
        chosen = images.choose_engines(by_key(shared))
    except SpentError as exc:
        place.text(str(exc))
        return
    except ValueError:
        return
    lines = [estimate_in_words(shared, chosen), left_in_words(spending.left(shared["payer"]))]
    if text := "\n".join(line for line in lines if line):
        place.text(text)


def estimate_in_words(shared: Store, chosen: Sequence[tuple[Engine, Mapping[str, str]]]) -> str:
    """Return what several pictures, or one of a costly quality, will probably cost; '' if none."""
    count = shared["count"] * len(chosen)
    if by_key(shared)["quality"] not in images.COSTLY and count == 1:
        return ""
    prices = [expected_cost(shared, engine, options) for engine, options in chosen]
    known = [price for price in prices if price]
    if len(known) == len(prices):
        totals = [shared["count"] * sum(ends) for ends in zip(*known, strict=True)]
        words = " to ".join(dict.fromkeys(f"${dollars:.2f}" for dollars in totals))
        return f"Costs about {words} (estimate)."
    if chosen[0][0].free:
        return ""
    if count == 1:
        return "Asks for a picture of a quality whose price is not known here."
    return f"Asks for {count} pictures: each may be billed."


def expected_cost(
    shared: Store, engine: Engine, options: Mapping[str, str]
) -> tuple[float, float] | None:
    """Return the least and the most in USD that a picture will probably cost; None if unknown."""
    expected = images.expected_cost(engine.model, options)
    made = [one for one in shared["attempts"] if one.wish.engine.model == engine.model]
    # What the model chose before is nearer than all that it may choose.
    last = made[-1].result.cost.dollars if made and made[-1].wish.options == options else 0.0
    if last and (expected is None or expected[0] < expected[1]):
        return last, last
    return expected
