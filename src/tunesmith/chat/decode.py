"""Ids to text, one after the other, for an answer that is shown while it is written.

    decoder = Decoder.of(fmt)
    for id in stream(...):
        print(decoder.add(id), end="")          what is certain by now; often "" within a character
    print(decoder.rest(), end="")

All parts together are what decoding the whole gives, and no part is ever taken back. A part waits where later tokens
may change it: a character that is spread over several tokens, a run of byte tokens (``<0xE4>``), and the last few
characters where the tokenizer tidies spaces before marks. Only a window of tokens is decoded at each step, so a long
answer takes time in proportion to its length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunesmith.chat.format import ChatFormat

_CONTEXT = 8
"""Tokens that stay in the window when it is cut: how a token is written may depend on those before it."""
_WINDOW = 24
"""Tokens of a window that is cut."""
_TIDIED = 4
"""Characters of the longest text that tidying looks for (`` 've``)."""
_PROBE = "a . b ' c , d"
"""A text that tidying would change."""
_BROKEN = "\ufffd"


class Decoder:
    """The text of one answer."""

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        *,
        bytes_: frozenset[int] = frozenset(),
        silent: frozenset[int] = frozenset(),
        tidied: bool = False,
    ) -> None:
        """``bytes_`` are the tokens that stand for single bytes and are read in runs, ``silent`` those that ``decode``
        leaves out. ``tidied``: the tokenizer takes spaces out before marks."""
        self._decode, self._bytes, self._silent, self._held = decode, bytes_, silent, _TIDIED if tidied else 0
        self._window: list[int] = []
        self._shown = ""
        """What was given out of the window's text."""

    @classmethod
    def of(cls, fmt: ChatFormat) -> Decoder:
        """For answers in a chat format."""
        tok = fmt.tok
        names = [f"<0x{byte:02X}>" for byte in range(256)]
        vocabulary = tok.get_vocab()
        bytes_ = frozenset(vocabulary[name] for name in names if name in vocabulary)
        # One in the middle of a run of bytes does not end it. Elsewhere they need no care.
        silent = frozenset(id for id in tok.get_added_vocab().values() if bytes_ and not fmt.decode([id]))
        tidied = _PROBE not in fmt.decode(tok.encode(_PROBE, add_special_tokens=False))
        return cls(fmt.decode, bytes_=bytes_, silent=silent - bytes_, tidied=tidied)

    def add(self, id: int) -> str:
        """The text that is certain after one more token."""
        if id in self._silent:
            return ""
        self._window.append(id)
        if id in self._bytes:  # the run is read as a whole when it is over
            return ""
        text = self._decode(self._window)
        end = len(text) - self._held
        if end > 0 and end == len(text) and text[-1] == _BROKEN:
            end -= 1
        new = self._new(text[: max(end, 0)])
        if len(self._window) >= _WINDOW:
            self._cut(text)
        return new

    def rest(self) -> str:
        """What is still waiting; the answer is over."""
        return self._new(self._decode(self._window)) if self._window else ""

    def _new(self, text: str) -> str:
        """What a text of the window has beyond what was given out."""
        if len(text) <= len(self._shown) or not text.startswith(self._shown):
            return ""
        new, self._shown = text[len(self._shown) :], text
        return new

    def _cut(self, text: str) -> None:
        """Forget the window's beginning, where the end reads the same without it."""
        waiting = text[len(self._shown) :]
        short = self._decode(self._window[-_CONTEXT:])
        if text.startswith(self._shown) and short.endswith(waiting):
            self._window = self._window[-_CONTEXT:]
            self._shown = short[: len(short) - len(waiting)]
