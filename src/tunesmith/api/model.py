"""A model together with its chat format: encode conversations, generate, ask.

model = load("runs/quickstart")           a run, a folder, hub:owner/model, or http://host/v1#model
model.ask("What is the capital of France?")
model.encode(messages)                    Encoded(ids, learn): the loss mask of the last answer
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tunesmith.api.respondents import Asked, opened
from tunesmith.ask.respondent import Draw, Failed, Local
from tunesmith.core.errors import ChatError, DataError, EvalError
from tunesmith.core.types import Completion, Conversation, Encoded, EncodedMany, Learn, Message, messages_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from tunesmith.ask.cache import Cache
    from tunesmith.chat import ChatFormat

Talk = str | Conversation | Sequence[Message | Mapping[str, Any]]
"""A question as a text, or all messages of a conversation."""


def load(place: str | Path, *, chat: str | None = None, cache: Cache | None = None) -> Model:
    """Open a model with its chat format: a run, a model folder, ``hub:owner/model`` or ``http://host/v1#model``.

    ``chat`` names a format for a model that has none (chatml, zephyr, tulu, plain). A base model without a format is
    asked in plain text. With a ``cache``, what was answered before is not computed again.
    """
    return Model(opened(str(place), cache, chat=chat))


def conversation_of(talk: Talk) -> Conversation:
    """A question or messages as a conversation."""
    if isinstance(talk, Conversation):
        return talk
    if isinstance(talk, str):
        return Conversation((Message("user", talk),))
    try:
        return Conversation(messages_of(talk))
    except TypeError as error:
        raise DataError(f"Wanted a text or messages such as [{{'role': 'user', 'content': 'Hi'}}]: {error}.") from None


class Model:
    """A model that can be asked, and its chat format. Made by ``load``."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self.name = asked.name
        """What it is called in tables."""
        self.place = asked.place
        """Its folder, or its address."""
        self.note = asked.note
        """What a reader of its figures has to know."""

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {self.place!r})"

    @property
    def asked(self) -> Asked:
        """The same for the functions that ask."""
        return self._asked

    @property
    def net(self) -> PreTrainedModel:
        """The model of transformers."""
        if isinstance(self._asked.who, Local):
            return self._asked.who.model
        raise EvalError(f"{self.name} is behind a server; its weights are not here.")

    @property
    def chat(self) -> ChatFormat:
        """The chat format."""
        from tunesmith.chat import ChatFormat

        fmt = getattr(self._asked.who, "fmt", None)
        if isinstance(fmt, ChatFormat):
            return fmt
        if isinstance(self._asked.who, Local):
            raise ChatError(f'{self.name} has no chat format. Give it one: load({self.place!r}, chat="chatml")')
        raise ChatError(f"{self.name} uses the server's own chat format. Name a tokenizer: #model#tokenizer=FOLDER")

    def encode(self, talk: Talk, learn: Learn = "last") -> Encoded:
        """Ids and the loss mask. ``learn``: the "last" answer, "all" answers, or the messages that are "marked"."""
        return self.chat.encode(conversation_of(talk), learn)

    def encode_many(
        self, talks: Iterable[Talk], learn: Learn = "last", *, max_length: int | None = None
    ) -> EncodedMany:
        """Many conversations as flat arrays. What is longer than ``max_length`` is in ``set_aside``, with a reason."""
        return self.chat.encode_many(map(conversation_of, talks), learn, max_length=max_length)

    def pieces(self, encoded: Encoded) -> list[tuple[str, bool]]:
        """Each token as a person may read it, and whether it is in the loss."""
        return list(zip(self.chat.pieces(encoded.ids), encoded.learn.tolist(), strict=True))

    def generate(
        self,
        talks: Iterable[Talk],
        *,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
    ) -> list[Completion]:
        """One answer to each, in one batch. At temperature 0 the likeliest token is taken each time."""
        questions = [conversation_of(talk) for talk in talks]
        questions = [replace(q, messages=q.prompt, id=f"prompt {n}") for n, q in enumerate(questions, 1)]
        who, draw = self._asked.who, Draw(temperature, top_p, seed, tuple(stop))
        too_long: set[str] = set()
        if isinstance(who, Local):
            before, who.too_long = who.too_long, too_long
        answers = who.say(questions, limit=max_new_tokens, draw=draw)
        if isinstance(who, Local):
            who.too_long = before
        found = []
        for question, said in zip(questions, answers, strict=True):
            if isinstance(said, Failed) or question.id in too_long:
                why = said.reason if isinstance(said, Failed) else "it is longer than the model can read"
                raise EvalError(f"{self.name} gave no answer to {question.id} of {len(questions)}: {why}.")
            found.append(Completion(said.text, tuple(said.ids), said.finished))
        return found

    def ask(
        self,
        talk: Talk,
        *,
        max_new_tokens: int = 256,
        temperature: float = 0.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: Sequence[str] = (),
    ) -> str:
        """The text of one answer."""
        how: dict[str, Any] = {"temperature": temperature, "top_p": top_p, "seed": seed, "stop": stop}
        return self.generate([talk], max_new_tokens=max_new_tokens, **how)[0].text
