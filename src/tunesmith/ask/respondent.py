"""Who is asked: a model on this machine, or one behind a server (``ask/server.py``). Evaluation sees no difference.

    who = Local(model, fmt)                             a model of Hugging Face, and its chat format
    who.say(questions, limit=64)                        [Said(text, finished), ...]
    who.say(questions * 5, limit=64, draw=Draw(0.8))    five samples of each
    who.likely(questions)                               how likely each option of each question is

A question is a ``Conversation`` without its answer; its options, where it has some, are ranked behind it. What fails
comes back as ``Failed``, with the reason, in the place of the answer.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tunesmith.core.errors import EvalError
from tunesmith.core.types import Conversation, Encoded, Message

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunesmith.ask.cache import Answers
    from tunesmith.models.generate import Generated, Progress

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
    logprobs: tuple[float, ...] = ()
    """The log-probability of each of its tokens, where that was asked for."""


@dataclass(frozen=True, slots=True)
class Failed:
    """A question that got no answer. It counts neither as right nor as wrong, and is asked again next time."""

    reason: str


@dataclass(frozen=True, slots=True)
class Draw:
    """How answers are drawn. At temperature 0 equal questions have equal answers and are asked once; above it each is
    asked as often as it stands in the list, and the n-th answer to it is the same whatever else is asked."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    stop: tuple[str, ...] = ()
    """Texts that end an answer; they are no part of it."""
    logprobs: bool = False
    """Whether the log-probability of each token is wanted."""

    def __post_init__(self) -> None:
        # Written so that NaN, which is in no order with any number, is refused too.
        if not (0 <= self.temperature <= 100 and 0 < self.top_p <= 1):
            raise EvalError(
                f"temperature={self.temperature}, top_p={self.top_p}: wanted a temperature from 0 to 100 and "
                "0 < top_p <= 1."
            )
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 1 << 63:
            raise EvalError(f"seed={self.seed!r}: wanted a whole number from 0 to 2^63 - 1.")
        if isinstance(self.stop, str) or not all(isinstance(text, str) and text for text in self.stop):
            raise EvalError(f"stop={self.stop!r}: wanted a list of texts that are not empty.")


LIKELIEST = Draw()


Tokens = tuple[tuple[str, ...], tuple[str, ...]]
"""Of a question, and of what was said to it, as a person may read them."""


class Respondent(Protocol):
    """Whoever can be asked."""

    ranks: bool
    """Whether it can tell how likely an option is."""

    def say(
        self, questions: Sequence[Conversation], *, limit: int, draw: Draw = ..., progress: Progress | None = None
    ) -> Sequence[Said | Failed]: ...

    def likely(self, questions: Sequence[Conversation]) -> Sequence[tuple[float, ...] | Failed]: ...

    def bits(self, texts: Sequence[str]) -> list[float]:
        """How many bits a byte of each text costs: how well it is predicted."""
        ...

    def length(self, text: str) -> int | None:
        """How many tokens a text has, where that is known."""
        ...

    def option_tokens(self, question: Conversation) -> tuple[int, ...]:
        """How many tokens each option has as an answer, its end included: those whose likelihood ``likely`` sums."""
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

    @property
    def model(self) -> PreTrainedModel:
        """The model that is asked."""
        return self._model

    def say(
        self,
        questions: Sequence[Conversation],
        *,
        limit: int,
        draw: Draw = LIKELIEST,
        progress: Progress | None = None,
    ) -> list[Said]:
        """Free answers of at most ``limit`` tokens."""
        from tunesmith.models.generate import Sampling, generate

        prompts = [self.fmt.prompt(question) for question in questions]
        fits = self._fits(questions, [len(prompt) for prompt in prompts])
        asked = [prompt for prompt, fit in zip(prompts, fits, strict=True) if fit]
        numbers = _numbers(asked) if draw.temperature else ()
        how: dict[str, Any] = {
            "stop_ids": self.fmt.stop_ids,
            "max_new_tokens": limit,
            "sampling": Sampling(draw.temperature, draw.top_p, draw.seed, numbers),
            "until": _until(self.fmt, draw.stop),
            "alone": self._alone,
            "progress": progress,
        }
        if self._known:
            said = self._known.generate(asked, stop=draw.stop, **how)
        else:
            said = generate(self._model, asked, **how)
        each = self._logprobs(asked, [one.ids for one in said]) if draw.logprobs else [()] * len(said)
        found = (self._said(one, draw.stop, logprobs) for one, logprobs in zip(said, each, strict=True))
        return [next(found) if fit else Said("", False) for fit in fits]

    def _said(self, one: Generated, stop: Sequence[str], logprobs: tuple[float, ...]) -> Said:
        text = self.fmt.decode(one.ids)
        ends = [at for end in stop if (at := text.find(end)) >= 0]
        return Said(text[: min(ends, default=None)], one.finished or bool(ends), one.ids, logprobs)

    def _logprobs(self, prompts: Sequence[Ids], said: Sequence[Sequence[int]]) -> list[tuple[float, ...]]:
        """Of each token of each answer: what an answer's beginnings are likely, one from the next."""
        from tunesmith.models.generate import rank_options

        run = self._known.rank_options if self._known else partial(rank_options, self._model)
        begun = [[np.array(ids[: n + 1], np.int32) for n in range(len(ids))] for ids in said]
        return [tuple(np.diff(sums, prepend=0.0).tolist()) for sums in run(prompts, begun, alone=self._alone)]

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

    def option_tokens(self, question: Conversation) -> tuple[int, ...]:
        """The tokens of each option, its end included."""
        return tuple(map(len, option_ids(self.fmt, question)))

    def tokens(self, question: Conversation, said: Said) -> Tokens:
        """The tokens of a question and of what was said to it."""
        return self._pieces(self.fmt.prompt(question).tolist()), self._pieces(said.ids)

    def _pieces(self, ids: Sequence[int]) -> tuple[str, ...]:
        for i in set(ids) - self._piece.keys():
            self._piece[i] = self.fmt.pieces([i])[0]
        found = [self._piece[i] for i in ids]
        # A character in several tokens can only be read with all of them.
        return tuple(self.fmt.pieces(ids) if any("\ufffd" in text or not text for text in found) else found)


def _numbers(prompts: Sequence[Ids]) -> tuple[int, ...]:
    """A number for each prompt from its ids and how often it stood before, so that no answer depends on what else is
    asked."""
    times: Counter[bytes] = Counter()
    found = []
    for prompt in prompts:
        ids = np.asarray(prompt, dtype="<i8").tobytes()
        digest = hashlib.blake2b(ids, digest_size=8, key=times[ids].to_bytes(8, "little")).digest()
        times[ids] += 1
        found.append(int.from_bytes(digest, "little"))
    return tuple(found)


def _until(fmt: Format, stop: Sequence[str]) -> Callable[[Sequence[int]], bool] | None:
    """Whether an answer holds one of the stop texts by now; the last tokens tell."""
    if not stop:
        return None
    last = max(map(len, stop)) + 4  # most tokens are a character or more, and one character may need several

    def over(ids: Sequence[int]) -> bool:
        text = fmt.decode(ids[-last:])
        return any(end in text for end in stop)

    return over


def option_ids(fmt: Format, question: Conversation) -> list[Ids]:
    """The ids of each option as an answer, its end included: those that training would teach."""
    found = []
    for option in question.options:
        whole = fmt.encode(replace(question, messages=(*question.messages, Message("assistant", option))))
        found.append(whole.ids[whole.learn])
    return found
