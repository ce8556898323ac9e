"""Questions as plain text, for base models that know of no chat: a question, a new line, the answer, an empty line.

    fmt = Plain(tokenizer)
    who = Local(model, fmt)

    What is the capital of Italy?       an answered example
    Rome

    What is the capital of France?      the question; the answer ends with its line
    Paris

So a base is asked in the way that it was trained, and not with control tokens that it has never seen. Use the same for
both sides of a comparison, or say that they differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tunesmith.core.types import Conversation, Encoded, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Ids = NDArray[np.int32]
_NEW_LINES = ("\n", "Ċ", "<0x0A>")
"""How a token that begins with a new line is written in a vocabulary."""


class Plain:
    """A format for evaluation; there is nothing to train in it."""

    def __init__(self, tok: PreTrainedTokenizerBase) -> None:
        self.tok = tok
        ends = [i for piece, i in tok.get_vocab().items() if piece.startswith(_NEW_LINES)]
        self.stop_ids = frozenset([*ends, *([tok.eos_token_id] if tok.eos_token_id is not None else [])])
        self._begin = [tok.bos_token_id] if tok.bos_token_id is not None else []

    def prompt(self, messages: Conversation, /) -> Ids:
        """The ids after which the answer is to stand."""
        return np.array([*self._begin, *self.text_ids(_text(messages.messages)).tolist()], np.int32)

    def encode(self, messages: Conversation, /) -> Encoded:
        """The same with the answer that stands last, its new line included."""
        *before, answer = messages.messages
        prompt, said = self.text_ids(_text(before)), f"{answer.content}\n"
        whole = self.text_ids(_text(before) + said)
        # Where a token would hold the end of the question and the start of the answer, each is encoded by itself.
        joined = whole[: len(prompt)].tolist() == prompt.tolist()
        rest = whole[len(prompt) :] if joined else self.text_ids(said)
        ids = np.concatenate((np.array(self._begin, np.int32), prompt, rest)).astype(np.int32)
        return Encoded(ids, np.arange(len(ids)) >= len(ids) - len(rest))

    def decode(self, ids: Sequence[int], /) -> str:
        """The text of ids."""
        return str(self.tok.decode(list(ids), skip_special_tokens=True))

    def pieces(self, ids: Sequence[int], /) -> list[str]:
        """Each token as a person may read it."""
        return [str(self.tok.decode([i])) for i in ids]

    def text_ids(self, text: str, /) -> Ids:
        """Plain text."""
        return np.array(self.tok.encode(text, add_special_tokens=False), np.int32)


def _text(messages: Sequence[Message]) -> str:
    """Questions and answers one after the other, as far as the next answer."""
    parts = [f"{m.content}\n\n" if m.role in ("assistant", "system") else f"{m.content}\n" for m in messages]
    return "".join(parts)
