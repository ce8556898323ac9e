"""The loss mask, drawn: which tokens are trained on, which are context, which are control tokens.

tokens = tokens_of(fmt, encoded)
mask_text(tokens)                    for the terminal, a rich Text
mask_html([Drawn("a title", tokens)])    a page of its own
mask_fragment(tokens)                a part of a page
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from markupsafe import Markup, escape

from tunesmith.core.types import Encoded
from tunesmith.pages import templates
from tunesmith.pages.words import words

if TYPE_CHECKING:
    from rich.text import Text


class Reader(Protocol):
    """A chat format, as far as drawing needs one."""

    def decode(self, ids: Sequence[int], /, *, controls: bool = False) -> str: ...


@dataclass(frozen=True, slots=True)
class Token:
    """One token as a person reads it. Where a character takes several tokens, they are drawn as one."""

    text: str
    learn: bool
    control: bool
    count: int = 1


@dataclass(frozen=True, slots=True)
class Drawn:
    """A conversation to draw, with what to write above it."""

    title: str
    tokens: tuple[Token, ...]


def tokens_of(fmt: Reader, encoded: Encoded) -> tuple[Token, ...]:
    """The tokens of an encoded conversation."""
    out: list[Token] = []
    part: list[int] = []  # the ids of a character that is not whole yet
    for i, learn in zip(encoded.ids.tolist(), encoded.learn.tolist(), strict=True):
        shown = fmt.decode([i], controls=True)
        if shown and not fmt.decode([i]):
            part = []
            out.append(Token(shown, learn, True))
            continue
        if part and out[-1].learn == learn:
            whole = fmt.decode([*part, i])
            out[-1] = Token(whole, learn, False, len(part) + 1)
            part = [*part, i] if "\ufffd" in whole else []
            continue
        out.append(Token(shown, learn, False))
        part = [i] if "\ufffd" in shown else []
    return tuple(out)


def mask_fragment(tokens: Sequence[Token]) -> Markup:
    """The tokens as HTML. The page's style colours what is trained on, and puts each stretch of it in brackets."""
    parts = []
    for i, token in enumerate(tokens):
        kind = " ".join(name for name, on in (("learn", token.learn), ("control", token.control)) if on) or "context"
        if token.learn:
            kind += "" if i and tokens[i - 1].learn else " first"
            kind += "" if i + 1 < len(tokens) and tokens[i + 1].learn else " last"
        # A line break is drawn where it stands, so that a reader sees whether it is trained on.
        text = escape(token.text).replace("\n", Markup('<i class="nl">⏎</i>\n'))
        parts.append(Markup('<span class="t {}">{}</span>').format(kind, text))
    return Markup("").join(parts)


def mask_html(examples: Sequence[Drawn], title: str = "", language: str | None = None) -> str:
    """A page of its own that shows the loss masks of some conversations."""
    t = words(language)
    shown = [
        {
            "title": e.title,
            "tokens": mask_fragment(e.tokens),
            "learned": sum(token.count for token in e.tokens if token.learn),
            "count": sum(token.count for token in e.tokens),
        }
        for e in examples
    ]
    view = {"t": t, "title": title or t("The loss mask"), "examples": shown}
    return templates("tunesmith.evals").get_template("mask.html").render(view)


def mask_text(tokens: Sequence[Token]) -> Text:
    """The tokens for a terminal: what is trained on stands out and is in ``[brackets]``, so that a log without colours
    tells it too; control tokens are dim."""
    from rich.text import Text

    text = Text()
    for i, token in enumerate(tokens):
        style = "bold black on bright_yellow" if token.learn else "dim cyan" if token.control else ""
        if token.learn and token.control:
            style = "bold black on yellow"
        if token.learn and not (i and tokens[i - 1].learn):
            text.append("[", style="bold")
        # The mark keeps a trained line break visible; the break itself is not coloured to the screen's edge.
        for k, line in enumerate(token.text.split("\n")):
            if k:
                text.append("⏎", style=style or "dim")
                text.append("\n")
            text.append(line, style=style)
        if token.learn and not (i + 1 < len(tokens) and tokens[i + 1].learn):
            text.append("]", style="bold")
    return text
