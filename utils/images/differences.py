"""What differs between a wish and the one that it comes from, for people."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from html import escape

from utils.images.parameters import AUTO, PARAMETERS
from utils.review.records import Wish

# So many words around a difference say where it is.
AROUND = 4
# Longer prompts are compared by their beginnings; and difflib matches by itself nothing that is
# frequent in a long one: without that, one that repeats itself takes ten seconds in each run.
MAX_WORDS = 1500


def prompt_difference(before: str, after: str) -> str:
    """Return the words that went and came, as HTML with <del> and <ins>; '' where none did."""
    old, new = before.split()[:MAX_WORDS], after.split()[:MAX_WORDS]
    if old == new:
        return ""
    parts = []
    # The words that a change adds make a full stop of the end before them: no difference.
    bare_old, bare_new = ([word.rstrip(".,;:") for word in words] for words in (old, new))
    matcher = SequenceMatcher(None, bare_old, bare_new)
    for tag, i, j, m, n in matcher.get_opcodes():
        if tag == "equal":
            parts.append(_shortened(new[m:n], first=m == 0, last=n == len(new)))
            continue
        parts.extend([f"<del>{_words(old[i:j])}</del>"] * (j > i))
        parts.extend([f"<ins>{_words(new[m:n])}</ins>"] * (n > m))
    return " ".join(parts)


def settings_difference(before: Wish, after: Wish) -> str:
    """Return which settings differ, as one line of text; '' where none do."""
    pairs = [
        (one.label, before.options.get(one.key), after.options.get(one.key)) for one in PARAMETERS
    ]
    pairs.append(("Model", before.engine.model, after.engine.model))
    return ", ".join(
        f"{label}: {old or AUTO} → {new or AUTO}" for label, old, new in pairs if old != new
    )


def _shortened(words: Sequence[str], *, first: bool, last: bool) -> str:
    """Return words that stayed: those next to a difference, and an ellipsis for the others."""
    head, tail = (0 if first else AROUND), (0 if last else AROUND)
    if len(words) <= head + tail + 1:
        return _words(words)
    kept = [_words(words[:head]), "…", _words(words[len(words) - tail :])]
    return " ".join(part for part in kept if part)


def _words(words: Sequence[str]) -> str:
    return escape(" ".join(words))
