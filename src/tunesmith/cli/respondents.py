"""Whom a person means to ask: a run, a model's folder, a model of the hub, or one behind a server.

runs/my    models/qwen    hub:Qwen/Qwen3-0.6B
http://localhost:8000/v1                          the model that a server serves, in the server's own template
http://localhost:8000/v1#name                     one of several
http://localhost:8000/v1#name#tokenizer=FOLDER    with our tokens, so that options can be ranked
mine=runs/my                                      under a name of one's own
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tunesmith.evals.cache import Answers, Cache
    from tunesmith.evals.respondent import Local
    from tunesmith.evals.server import Server


@dataclass(frozen=True)
class Asked:
    """Someone who can be asked."""

    name: str
    place: str
    """The folder, or the address."""
    who: Local | Server
    known: Answers | None = None
    """What is known of a local model."""
    note: str = ""
    """What a reader of its figures has to know."""
    trained_on: list[str] = field(default_factory=list)
    """The rows that a run's model was trained on."""

    def used(self, price: tuple[float, float] | None = None) -> str:
        """What was asked, in a line; "" where there is nothing to say."""
        from tunesmith.evals.server import Server

        if isinstance(self.who, Server):
            cost = f", {self.who.used.cost(*price):,.4f} in all" if price else ""
            return f"{self.name}: {self.who.used}{cost}"
        if self.known and self.known.known:
            all_ = self.known.known + self.known.asked
            return f"{self.name}: {self.known.known:,} of {all_:,} answers were known"
        return ""


def name_of(place: str) -> str:
    """What a model is called in tables."""
    own, place = name_and_place(place)
    if own:
        return own
    if place.startswith(("http://", "https://")):
        from tunesmith.evals.server import parts

        url, model, _ = parts(place)
        return Path(model).name or url.split("//")[1].partition("/")[0]
    return Path(place.removeprefix("hub:").partition("@")[0]).name


def name_and_place(place: str) -> tuple[str, str]:
    """The name that a person gives, if one is given, and the place."""
    name, equals, rest = place.partition("=")
    return (name, rest) if equals and re.fullmatch(r"[\w.-]+", name) else ("", place)


def opened(
    place: str, cache: Cache | None = None, *, chat: str | None = None, alone: bool = False, again: bool = False
) -> Asked:
    """Open it. A base model without a chat template is asked in plain text."""
    from transformers import AutoTokenizer

    from tunesmith.cli.folders import open_folder
    from tunesmith.evals.plain import Plain
    from tunesmith.evals.respondent import Local
    from tunesmith.evals.server import Server, parts
    from tunesmith.models.load import load_model
    from tunesmith.stages import hub
    from tunesmith.stages.training import open_format

    name, place = name_of(place), name_and_place(place)[1]
    if place.startswith(("http://", "https://")):
        url, model, tokenizer = parts(place)
        fmt = (
            open_format(open_folder(hub.place(tokenizer), "tokenizer_config.json").folder, chat) if tokenizer else None
        )
        key = os.environ.get("OPENAI_API_KEY", "")
        return Asked(name, url, Server(url, model, fmt=fmt, key=key, cache=cache, again=again))
    found = open_folder(hub.place(place))
    folder = found.folder
    model_ = load_model(folder, attention="sdpa")
    model_.train(False)
    known = cache.of(model_, folder) if cache and not again else None
    tok = AutoTokenizer.from_pretrained(folder)
    plain = chat == "plain" or (chat is None and tok.chat_template is None)
    who = Local(model_, Plain(tok) if plain else open_format(folder, chat), known=known, alone=alone)
    note = "asked in plain text, without a chat format" if plain else ""
    return Asked(name, str(folder), who, known, note, [str(path) for path in found.trained_on])
