"""Who is asked: a model on this machine, or one behind a server (``evals/server.py``). Evaluation sees no difference.

    who = Local(model, fmt)                             a model of Hugging Face, and its chat format
    who.say(questions, limit=64)                        [Said(text, finished), ...]
    who.likely(questions)                               how likely each option of each question is

A question is a ``Conversation`` without its answer; its options, where it has some, are ranked behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from tunesmith.types import Conversation, Encoded, Message

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunesmith.evals.cache import Answers
    from tunesmith.models.generate import Progress

Ids = NDArray[np.int32]


class Format(Protocol):
    """What evaluation needs of a chat format; ``chat.ChatFormat`` is one."""

    stop_ids: frozenset[int]

    def prompt(self, messages: Conversation, /) -> Ids: ...

    def encode(self, messages: Conversation, /) -> Encoded: ...

    def decode(self, ids: Sequence[int], /) -> str: ...

    def pieces(self, ids: Sequence[int], /) -> list[str]: ...

    def text_ids(self, text: str, /) -> Ids: ...


@dataclass(frozen=True, slots=True)
class Said:
    """A free answer."""

    text: str
    finished: bool
    """True when the model stopped by itself."""
    ids: tuple[int, ...] = ()
    """Its tokens, where they are known."""


Tokens = tuple[tuple[str, ...], tuple[str, ...]]
"""Of a question, and of what was said to it, as a person may read them."""


class Respondent(Protocol):
    """Whoever can be asked."""

    ranks: bool
    """Whether it can tell how likely an option is."""

    def say(self, questions: Sequence[Conversation], *, limit: int, progress: Progress | None = None) -> list[Said]: ...

    def likely(self, questions: Sequence[Conversation]) -> list[tuple[float, ...]]: ...

    def bits(self, texts: Sequence[str]) -> list[float]:
        """How many bits a byte of each text costs: how well it is predicted."""
        ...

    def length(self, text: str) -> int | None:
        """How many tokens a text has, where that is known."""
        ...

    def tokens(self, question: Conversation, said: Said) -> Tokens | None:
        """The tokens of a question and of what was said to it, where they are known."""
        ...


class Local:
    """A model on this machine."""

    ranks = True

    def __init__(
        self, model: PreTrainedModel, fmt: Format, *, known: Answers | None = None, alone: bool = False
    ) -> None:
        """What is ``known`` is not asked again. ``alone`` takes one question after the other: slow, and the same to
        the last bit whatever else is asked."""
        self._model, self.fmt, self._known, self._alone = model, fmt, known, alone
        self._piece: dict[int, str] = {}
        self.too_long: set[str] = set()
        """Ids of questions that are longer than the model can read; they count as not answered."""

    def say(self, questions: Sequence[Conversation], *, limit: int, progress: Progress | None = None) -> list[Said]:
        """Free answers of at most ``limit`` tokens."""
        from tunesmith.models.generate import generate

        prompts = [self.fmt.prompt(question) for question in questions]
        fits = self._fits(questions, [len(prompt) for prompt in prompts])
        asked = [prompt for prompt, fit in zip(prompts, fits, strict=True) if fit]
        run = self._known.generate if self._known else partial(generate, self._model)
        said = run(asked, stop_ids=self.fmt.stop_ids, max_new_tokens=limit, alone=self._alone, progress=progress)
        found = (Said(self.fmt.decode(one.ids), one.finished, one.ids) for one in said)
        return [next(found) if fit else Said("", False) for fit in fits]

    def likely(self, questions: Sequence[Conversation]) -> list[tuple[float, ...]]:
        """The log-likelihood of each option, its end included; none where they do not fit."""
        from tunesmith.models.generate import rank_options

        if not questions:
            return []
        prompts = [self.fmt.prompt(question) for question in questions]
        options = [option_ids(self.fmt, question) for question in questions]
        longest = (len(p) + max(map(len, many), default=0) - 1 for p, many in zip(prompts, options, strict=True))
        fits = self._fits(questions, list(longest))
        some = [i for i, fit in enumerate(fits) if fit]
        run = self._known.rank_options if self._known else partial(rank_options, self._model)
        scores = iter(run([prompts[i] for i in some], [options[i] for i in some], alone=self._alone))
        return [tuple(next(scores).tolist()) if fit else () for fit in fits]

    def _fits(self, questions: Sequence[Conversation], lengths: Sequence[int]) -> list[bool]:
        """Whether each is short enough for the model. One that is not counts as not answered, and is remembered."""
        from tunesmith.models.generate import positions

        room = positions(self._model)
        self.too_long |= {q.id for q, n in zip(questions, lengths, strict=True) if n > room}
        return [n <= room for n in lengths]

    def bits(self, texts: Sequence[str]) -> list[float]:
        """Bits for each byte. What is longer than the model can read goes in pieces, each after the last token of the
        one before; the first after the token that begins or ends a document."""
        from tunesmith.models.generate import positions, rank_options

        config, room = self._model.config, positions(self._model)
        named = config.bos_token_id if config.bos_token_id is not None else config.eos_token_id
        begin = int(named[0] if isinstance(named, list) else min(self.fmt.stop_ids) if named is None else named)
        prompts: list[Ids] = []
        pieces: list[list[Ids]] = []
        of: list[int] = []
        for number, text in enumerate(texts):
            ids = np.concatenate(([begin], self.fmt.text_ids(text))).astype(np.int32)
            for at in range(1, len(ids), room):
                prompts.append(ids[at - 1 : at])
                pieces.append([ids[at : at + room]])
                of.append(number)
        sums = np.zeros(len(texts))
        for number, (score,) in zip(of, rank_options(self._model, prompts, pieces, alone=self._alone), strict=True):
            sums[number] -= score / np.log(2)
        return [float(bits / max(1, len(text.encode()))) for bits, text in zip(sums, texts, strict=True)]

    def length(self, text: str) -> int:
        """How many tokens a text has."""
        return len(self.fmt.text_ids(text))

    def tokens(self, question: Conversation, said: Said) -> Tokens:
        """The tokens of a question and of what was said to it."""
        return self._pieces(self.fmt.prompt(question).tolist()), self._pieces(said.ids)

    def _pieces(self, ids: Sequence[int]) -> tuple[str, ...]:
        for i in set(ids) - self._piece.keys():
            self._piece[i] = self.fmt.pieces([i])[0]
        found = [self._piece[i] for i in ids]
        # A character in several tokens can only be read with all of them.
        return tuple(self.fmt.pieces(ids) if any("\ufffd" in text or not text for text in found) else found)


def option_ids(fmt: Format, question: Conversation) -> list[Ids]:
    """The ids of each option as an answer, its end included: those that training would teach."""
    found = []
    for option in question.options:
        whole = fmt.encode(replace(question, messages=(*question.messages, Message("assistant", option))))
        found.append(whole.ids[whole.learn])
    return found
