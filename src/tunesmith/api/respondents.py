"""Whom a person means to ask: a run, a model's folder, a model of the hub, or one behind a server.

runs/my    models/qwen    hub:Qwen/Qwen3-0.6B
http://localhost:8000/v1                          the model that a server serves, in the server's own template
http://localhost:8000/v1#name                     one of several
http://localhost:8000/v1#name#tokenizer=FOLDER    with our tokens, so that options can be ranked
http://localhost:8000/v1#name#answers=NAME        answers kept apart from those of others that serve the same name
http://localhost:8000/v1#name#key=VARIABLE        with the key in that variable of the environment, not OPENAI_API_KEY
mine=runs/my                                      under a name of one's own
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tunesmith.core.errors import EvalError

if TYPE_CHECKING:
    from tunesmith.ask.cache import Answers, Cache
    from tunesmith.ask.place import Place
    from tunesmith.ask.respondent import Local
    from tunesmith.ask.server import Server


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
        from tunesmith.ask.server import Server

        if isinstance(self.who, Server):
            cost = f", {self.who.used.cost(*price):,.4f} in all" if price else ""
            return f"{self.name}: {self.who.used}{cost}"
        if self.known and self.known.known:
            all_ = self.known.known + self.known.asked
            return f"{self.name}: {self.known.known:,} of {all_:,} answers were known"
        return ""


def check_apart(asked: list[Asked]) -> None:
    """Two servers must not answer for each other from the cache, which knows a server's model by its name."""
    from tunesmith.ask.server import Server

    seen: dict[tuple[str, str, str], Asked] = {}
    for one in asked:
        if isinstance(one.who, Server):
            other = seen.setdefault(one.who.identity, one)
            if other is not one:
                raise EvalError(
                    f"{other.place} and {one.place} both serve {one.who.model!r} and say nothing that tells them "
                    "apart, so answers of one would be taken for the other's. Write #answers=NAME behind one of them."
                )


def name_of(place: str) -> str:
    """What a model is called in tables."""
    own, place = name_and_place(place)
    if own:
        return own
    if place.startswith(("http://", "https://")):
        from tunesmith.ask.place import Place

        there = Place.of(place)
        return Path(there.model).name or there.url.split("//")[1].partition("/")[0].rpartition("@")[2]
    return Path(place.removeprefix("hub:").partition("@")[0]).name


def _key_for(there: Place) -> tuple[str, str]:
    """The key that goes to a server, and what is to be said of that."""
    variable = there.key or "OPENAI_API_KEY"
    key = os.environ.get(variable, "").strip()  # one that was read from a file often ends with a new line
    if there.key and not key:
        raise EvalError(f"{there.url}: the environment has no {there.key}, which #key= names. Set it, or leave it out.")
    host = urlsplit(there.url).hostname or ""
    open_ = bool(key) and there.url.startswith("http://") and not _is_near(host)
    return key, f"the key in {variable} goes to {host} unencrypted; https:// would hide it" if open_ else ""


def _is_near(host: str) -> bool:
    """Whether an address is of this machine or of a network of one's own."""
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal")) or "." not in host
    return found.is_private or found.is_loopback or found.is_link_local


def name_and_place(place: str) -> tuple[str, str]:
    """The name that a person gives, if one is given, and the place."""
    name, equals, rest = place.partition("=")
    return (name, rest) if equals and re.fullmatch(r"[\w.-]+", name) else ("", place)


def is_server(place: str) -> bool:
    """Whether a place is an address."""
    return name_and_place(place)[1].startswith(("http://", "https://"))


def opened(
    place: str,
    cache: Cache | None = None,
    *,
    chat: str | None = None,
    alone: bool = False,
    again: bool = False,
    at_once: int = 32,
    timeout: float = 600.0,
) -> Asked:
    """Open it. A base model without a chat template is asked in plain text. ``at_once`` and ``timeout`` are for
    servers."""
    from tunesmith.api.folders import open_folder
    from tunesmith.ask.place import Place
    from tunesmith.ask.plain import Plain
    from tunesmith.ask.respondent import Local
    from tunesmith.ask.server import Server
    from tunesmith.models.load import load_model
    from tunesmith.models.tokenizer import load_tokenizer
    from tunesmith.models.vocabulary import extend
    from tunesmith.stages import hub
    from tunesmith.stages.training import open_format

    name, place = name_of(place), name_and_place(place)[1]
    if is_server(place):
        there = Place.of(place)
        tokens = open_folder(hub.place(there.tokenizer), "tokenizer_config.json").folder if there.tokenizer else None
        fmt = open_format(tokens, chat) if tokens else None
        key, note = _key_for(there)
        settings: dict[str, Any] = {"again": again, "answers": there.answers, "at_once": at_once, "timeout": timeout}
        who = Server(there.url, there.model, fmt=fmt, key=key, cache=cache, **settings)
        return Asked(name, who.url, who, note=note)
    found = open_folder(hub.place(place))
    folder = found.folder
    model_ = load_model(folder)
    model_.train(False)
    known = cache.of(model_, folder) if cache and not again else None
    tok = load_tokenizer(folder)
    plain = chat == "plain" or (chat is None and tok.chat_template is None)
    own = Plain(tok) if plain else open_format(folder, chat)
    embeddings: Any = model_.get_input_embeddings()
    extend(model_, range(embeddings.num_embeddings, len(own.tok)))  # control tokens that the model does not know yet
    local = Local(model_, own, known=known, alone=alone)
    note = "asked in plain text, without a chat format" if plain else ""
    return Asked(name, str(folder), local, known, note, [str(path) for path in found.trained_on])
