"""A chat format: the one way from a conversation to token ids and back.

Training, evaluation, chat and serving all call ``ChatFormat``; none of them renders, tokenizes or
masks on its own. In comes a conversation; out come ids, and for each id whether it is learned.

    fmt = ChatFormat.from_tokenizer(tok)          # the template that the tokenizer carries
    fmt = ChatFormat.named("chatml", tok)         # or one of ours, put on the tokenizer
    fmt.encode(messages)                          # Encoded(ids, learn): the last answer is learned
    fmt.prompt(messages)                          # ids up to where the model is to answer
    fmt.encode_many(conversations)                # millions, as flat arrays

What is learned is exactly what the model has to produce in use: everything after the generation
prompt, up to and with the token that ends the turn. ``docs/design/chat.md`` tells how this is known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any, Literal

import numpy as np
from transformers import PreTrainedTokenizerBase

from tunesmith.chat.check import as_parts, check
from tunesmith.chat.layout import Filler, Layout, Region, controls_in, make_layout
from tunesmith.chat.messages import Tools, as_dicts, check_roles, joined_many, learned_turns, probe, set_aside, shape_of
from tunesmith.chat.render import ChatTemplate
from tunesmith.chat.tokenizer import Ids, TextTokenizer
from tunesmith.chat.trace import Trace, Traced, ordered, plain
from tunesmith.core.errors import ChatError, TemplateRefused, UnknownName
from tunesmith.core.types import Conversation, Encoded, EncodedMany, Learn, SetAside

OverLong = Literal["set_aside", "cut"]


@dataclass(frozen=True, slots=True)
class Named:
    """A format that we ship: its control tokens, and which of them ends a turn (None: the tokenizer's eos)."""

    controls: tuple[str, ...]
    end: str | None = None


NAMED = {
    "chatml": Named(("<|im_start|>", "<|im_end|>"), end="<|im_end|>"),
    "zephyr": Named(("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")),
    "tulu": Named(("<|system|>", "<|user|>", "<|assistant|>", "<|tool|>")),
    "pair": Named(()),
}
_CHUNK = 4096
_THINKING: tuple[dict[str, bool], ...] = (
    {"enable_thinking": False},
    {"enable_thinking": True},
    {"thinking": False},
    {"thinking": True},
)
"""The switches that today's templates have for the reasoning block of the generation prompt."""
_SHAPES = 64
"""Layouts kept for one shape of conversation: more different answers than that, and it is not a shape."""


@dataclass(frozen=True, slots=True)
class _Sample:
    """One row to encode: the rendering of the first ``upto`` messages, and the learned stretches of it."""

    text: Traced
    regions: tuple[Region, ...]


@dataclass(frozen=True, slots=True)
class _Turn:
    """An assistant turn as it is rendered when it is the newest: where the model begins and ends."""

    text: Traced
    region: Region
    confirmed: bool = False
    """Its parts have been compared with plain renderings."""


class ChatFormat:
    """A chat template and a tokenizer that belong together."""

    def __init__(self, tok: PreTrainedTokenizerBase, template: str, variables: Mapping[str, Any] | None = None) -> None:
        self.tok = tok
        self.template = ChatTemplate(template, {**tok.special_tokens_map, **(variables or {})})
        self.words = TextTokenizer(tok, template)
        self._layouts: dict[Any, list[tuple[Layout, ...]]] = {}
        self._stops = self._find_stops()
        self.stop_ids: frozenset[int] = frozenset(self._stops) | (
            {int(tok.eos_token_id)} if tok.eos_token_id is not None else frozenset()
        )
        check(self)

    @classmethod
    def from_tokenizer(cls, tok: PreTrainedTokenizerBase, **variables: Any) -> ChatFormat:
        """The format of the template that the tokenizer carries; ``variables`` go to the template."""
        if not isinstance(tok.chat_template, str):
            raise TemplateRefused(
                "This tokenizer carries no chat template. Give it one of ours: "
                f"ChatFormat.named({' | '.join(map(repr, NAMED))}, tok)."
            )
        return cls(tok, tok.chat_template, variables)

    @classmethod
    def named(cls, name: str, tok: PreTrainedTokenizerBase) -> ChatFormat:
        """One of our formats. The tokenizer gets its control tokens, its template and its stop token."""
        if name not in NAMED:
            raise UnknownName("Chat format", name, NAMED)
        named = NAMED[name]
        known = tok.get_added_vocab()
        missing = [t for t in named.controls if t not in known]
        if missing:
            tok.add_special_tokens({"additional_special_tokens": missing}, replace_extra_special_tokens=False)
        if named.end is not None:
            tok.eos_token = named.end
        if tok.eos_token is None:
            raise TemplateRefused(f"The {name} format ends a turn with the tokenizer's eos token, and it has none.")
        template = resources.files("tunesmith.chat").joinpath(f"templates/{name}.jinja").read_text("utf-8").rstrip("\n")
        tok.chat_template = template
        return cls(tok, template)

    # -- one conversation -------------------------------------------------------------------------

    def encode(self, messages: Conversation | Sequence[Any], learn: Learn = "last", tools: Tools = ()) -> Encoded:
        """Ids of the whole conversation and what of it is learned.

        Where the template changes earlier turns as the conversation grows, learning ``all`` takes
        several rows; ``encode_turns`` gives them.
        """
        rows = self.encode_turns(messages, learn, tools)
        if len(rows) != 1:
            raise ChatError(
                f"This template rewrites earlier turns, so learning {learn!r} takes {len(rows)} rows, one for each "
                "turn as the model sees it. Use encode_turns() or encode_many()."
            )
        return rows[0]

    def encode_turns(
        self, messages: Conversation | Sequence[Any], learn: Learn = "last", tools: Tools = ()
    ) -> list[Encoded]:
        """As ``encode``, in as many rows as it takes for each learned turn to be what the model would see."""
        dicts, tools = as_dicts(messages, tools)
        filler = Filler(self.words)
        for layout in self._layouts_for(dicts, learn, tools):
            filler.add(layout, dicts)
        filled = filler.finish()
        return list(EncodedMany(filled.ids, filled.learn, filled.offsets, np.zeros(len(filler), np.int64)))

    def prompt(self, messages: Conversation | Sequence[Any], tools: Tools = ()) -> Ids:
        """The ids after which the model is to answer."""
        dicts, tools = as_dicts(messages, tools)
        self._check(dicts)
        if dicts[-1]["role"] == "assistant":
            raise ChatError(
                f"Message {len(dicts) - 1} is the assistant's: there is nothing to answer. Leave the last answer out."
            )
        filler = Filler(self.words)
        filler.add(self._prompt_layout(dicts, tools), dicts)
        return filler.finish().ids

    def prompts(self, conversations: Iterable[Conversation | Sequence[Any]], tools: Tools = ()) -> EncodedMany:
        """Many prompts as flat arrays; nothing in them is learned."""
        filler = Filler(self.words)
        for messages in conversations:
            dicts, own = as_dicts(messages, tools)
            self._check(dicts)
            filler.add(self._prompt_layout(dicts, own), dicts)
        filled = filler.finish()
        return EncodedMany(filled.ids, filled.learn, filled.offsets, np.arange(len(filler)))

    def decode(self, ids: Sequence[int] | Ids, *, controls: bool = False) -> str:
        """The text of ``ids``; control tokens are left out unless asked for."""
        kept = [int(i) for i in ids if controls or int(i) not in self._control_set]
        return str(self.tok.decode(kept, skip_special_tokens=False))

    def pieces(self, ids: Sequence[int] | Ids) -> list[str]:
        """Each token as a person may read it, for showing masks.

        A character that takes several tokens stands with the last of them.
        """
        out: list[str] = []
        waiting: list[int] = []
        for i in ids:
            waiting.append(int(i))
            text = str(self.tok.decode(waiting, skip_special_tokens=False))
            whole = not text.endswith("\ufffd") or len(waiting) >= 4
            out.append(text if whole else "")
            waiting = [] if whole else waiting
        return out

    def text_ids(self, text: str) -> Ids:
        """Plain text: what looks like a control token stays text."""
        return self.words.encode_first(text)

    # -- many -------------------------------------------------------------------------------------

    def encode_many(
        self,
        conversations: Iterable[Conversation | Sequence[Any]],
        learn: Learn = "last",
        *,
        max_length: int | None = None,
        over_long: OverLong = "set_aside",
    ) -> EncodedMany:
        """Every conversation as flat arrays. One that cannot be encoded is set aside with its reason.

        ``max_length`` has no default: nothing is cut unless you say so. Over-long conversations are set
        aside, or with ``over_long="cut"`` lose their oldest turns, whole, until they fit.
        """
        parts: list[EncodedMany] = []
        aside: list[SetAside] = []
        counts = {"conversations": 0, "cut": 0, "over_long": 0, "straddled": 0}
        filler = Filler(self.words)
        rows: list[int] = []
        waiting: list[tuple[int, Any]] = []

        def flush() -> None:
            nonlocal filler, rows, waiting
            filled = filler.finish()
            part = EncodedMany(filled.ids, filled.learn, filled.offsets, np.array(rows, np.int64))
            counts["straddled"] += filled.straddled
            if max_length is not None and len(part) and int(part.lengths.max()) > max_length:
                part = self._fit(part, dict(waiting), learn, max_length, over_long, aside, counts)
            parts.append(part)
            filler, rows, waiting = Filler(self.words), [], []

        for i, conversation in enumerate(conversations):
            counts["conversations"] += 1
            try:
                dicts, tools = as_dicts(conversation, ())
                layouts = self._layouts_for(dicts, learn, tools)
            except ChatError as error:
                aside.append(set_aside(i, conversation, str(error)))
                continue
            if max_length is not None:
                waiting.append((i, conversation))
            for layout in layouts:
                filler.add(layout, dicts)
                rows.append(i)
            if len(rows) >= _CHUNK:
                flush()
        flush()
        return joined_many(parts, tuple(aside), counts)

    def _fit(
        self,
        part: EncodedMany,
        conversations: Mapping[int, Any],
        learn: Learn,
        max_length: int,
        over_long: OverLong,
        aside: list[SetAside],
        counts: dict[str, int],
    ) -> EncodedMany:
        """Apply the policy for over-long rows; a row is cut by whole turns or not used, never in the middle."""
        rows: list[tuple[int, Encoded]] = []
        for i, length, row in zip(part.rows.tolist(), part.lengths.tolist(), part, strict=True):
            if length <= max_length:
                rows.append((i, row))
                continue
            shorter = self._cut(conversations[i], learn, max_length) if over_long == "cut" else []
            rows += [(i, r) for r in shorter]
            counts["cut" if shorter else "over_long"] += 1
            if not shorter:
                why = f"{length} tokens, more than the {max_length} asked for"
                aside.append(set_aside(i, conversations[i], why + (", even cut" if over_long == "cut" else "")))
        lengths = [len(r.ids) for _, r in rows]
        return EncodedMany(
            np.concatenate([r.ids for _, r in rows] or [part.ids[:0]]),
            np.concatenate([r.learn for _, r in rows] or [part.learn[:0]]),
            np.r_[0, np.cumsum(lengths)].astype(np.int64),
            np.array([i for i, _ in rows], np.int64),
        )

    def _cut(self, conversation: Any, learn: Learn, max_length: int) -> list[Encoded]:
        """The conversation without its oldest exchanges, as few of them as it takes; the system message stays."""
        messages, tools = as_dicts(conversation, ())
        head = messages[:1] if messages[0]["role"] in ("system", "developer") else []
        users = [i for i, m in enumerate(messages) if m["role"] == "user"]
        for start in users[1:]:
            try:
                rows = self.encode_turns([*head, *messages[start:]], learn, tools)
            except ChatError:
                return []
            if max(len(r.ids) for r in rows) <= max_length:
                return rows
        return []

    def encode_texts(self, texts: Iterable[str], *, chunk: int = 8192) -> EncodedMany:
        """Documents to pretrain on: each is its text and the end token, all of it learned but the first id."""
        end = self.end_id
        begin = self.tok.bos_token_id if self.tok.bos_token_id != end else None
        parts: list[EncodedMany] = []
        rows: list[str] = []

        def flush(done: int) -> None:
            ids, at = self.words.encode_batch(rows)
            extra = 1 + (begin is not None)
            offsets = at + extra * np.arange(len(at))
            out = np.full(int(offsets[-1]), end, np.int32)
            learn = np.ones(len(out), np.bool_)
            inner = np.arange(len(ids)) + np.repeat(np.arange(len(rows)) * extra + (begin is not None), np.diff(at))
            out[inner] = ids
            if begin is not None and len(rows):
                out[offsets[:-1]] = begin
            learn[offsets[:-1]] = False
            parts.append(EncodedMany(out, learn, offsets, np.arange(done - len(rows), done)))

        n = 0
        for n, text in enumerate(texts, 1):
            rows.append(text)
            if len(rows) >= chunk:
                flush(n)
                rows = []
        flush(n)
        return joined_many(parts, (), {"documents": n})

    # -- what this format is ----------------------------------------------------------------------

    @property
    def end_id(self) -> int:
        """The token that ends a document of plain text."""
        eos = self.tok.eos_token_id
        return int(eos) if eos is not None else self._stops[0]

    @property
    def _control_set(self) -> frozenset[int]:
        return frozenset(self.words.control_ids.tolist())

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know of this tokenizer and template."""
        return tuple(n for n in (self.words.notice,) if n)

    def fingerprint(self) -> str:
        """Changes when the ids could: with the template, its variables or the tokenizer."""
        backend = self.tok.backend_tokenizer.to_str()
        variables = json.dumps(self.template.variables, sort_keys=True, default=str)
        return hashlib.sha256("\0".join([self.template.source, variables, backend]).encode()).hexdigest()

    # -- inside -----------------------------------------------------------------------------------

    def _check(self, messages: Sequence[Mapping[str, Any]]) -> None:
        check_roles(messages)
        if self.parts_only:
            for i, message in enumerate(messages):
                if isinstance(message.get("content"), str):
                    raise ChatError(
                        f"Message {i}: this template writes only content that is a list of parts; text given as a "
                        "string would be lost. Write it as [{'type': 'text', 'text': ...}]."
                    )

    def _layouts_for(self, messages: list[dict[str, Any]], learn: Learn, tools: Tools) -> tuple[Layout, ...]:
        """The rows of one conversation: a layout from before that fits, or a new one."""
        key = shape_of(messages, learn) if not tools else None
        known = self._layouts.setdefault(key, []) if key is not None else []
        for layouts in known:
            if layouts[0].fits(messages):
                return layouts
        self._check(messages)
        samples, asked = self._samples(messages, learn, tools)
        replay = key is not None and asked.replayable
        layouts = tuple(make_layout(s.text, s.regions, self.words, replay) for s in samples)
        if all(layout.replayable for layout in layouts) and len(known) < _SHAPES:
            known.append(layouts)
        return layouts

    def _prompt_layout(self, messages: list[dict[str, Any]], tools: Tools) -> Layout:
        key = shape_of(messages, "prompt") if not tools else None
        known = self._layouts.setdefault(key, []) if key is not None else []
        for layouts in known:
            if layouts[0].fits(messages):
                return layouts[0]
        text = self.template.render(messages, tools, prompt=True)
        self.template.confirm(text, messages, tools, prompt=True)
        layout = make_layout(text, (), self.words, key is not None and text.trace.replayable)
        if layout.replayable and len(known) < _SHAPES:
            known.append((layout,))
        return layout

    def _samples(self, messages: list[dict[str, Any]], learn: Learn, tools: Tools) -> tuple[list[_Sample], Trace]:
        """The rows that a conversation gives: one, unless the template rewrites turns that are learned.

        The trace holds every question that was asked on the way, in whichever rendering.
        """
        learned = learned_turns(messages, learn)
        tools = list(tools)
        if not learned:
            raise ChatError(f"No message is to be learned (learn={learn!r}): mark one, or use prompt().")
        asked = Trace()
        turns = [self._turn(messages, i, tools, asked) for i in learned]
        whole = turns[-1].text
        if learned[-1] != len(messages) - 1:
            whole = self.template.render(messages, tools, trace=asked)
            self.template.confirm(whole, messages, tools)
        samples: list[_Sample] = []
        regions: list[Region] = []
        for i, turn in zip(learned, turns, strict=True):
            alone = not _same_until(whole, turn.text, turn.region.end)
            if (alone or turn.text is whole) and not turn.confirmed:
                self.template.confirm(turn.text, messages[: i + 1], tools)
            if alone:
                samples.append(_Sample(turn.text, (turn.region,)))
            elif turn.region.stop is not None and str.__len__(whole) > turn.region.end:
                regions.append(self._stop_in(whole, turn.region))
            else:
                regions.append(turn.region)
        if regions:
            samples.append(_Sample(whole, tuple(regions)))
        return samples, asked

    def _stop_in(self, whole: Traced, region: Region) -> Region:
        """The turn's end is written at the start of the next message: learn it there."""
        for _, b, token in controls_in(whole, self.words, region.end):
            if token != region.stop:
                break
            return Region(region.start, b)
        raise ChatError("A learned turn is followed by a message that does not begin with the token that ends it.")

    def _turn(self, messages: list[dict[str, Any]], i: int, tools: Tools, asked: Trace) -> _Turn:
        """Where turn ``i`` begins and ends when the model produces it."""
        text = self.template.render(messages[: i + 1], tools, trace=asked)
        for switch in ({}, *_THINKING):
            # A turn without reasoning is what a model with thinking switched off produces, and the reverse.
            prompt = self.template.render(messages[:i], tools, prompt=True, trace=asked, **switch)
            start = str.__len__(prompt)
            if _same_until(prompt, text, start):
                break
        else:
            moved = self._system_at_the_end(messages, i, tools, text, asked)
            if moved is not None:
                return replace(self._ended(messages, i, tools, *moved, asked), confirmed=True)
            prompt = self.template.render(messages[:i], tools, prompt=True)
            given, full = plain(prompt), plain(text)
            at = len(_common(given, full))
            raise TemplateRefused(
                f"Message {i}: in use the model would start from ...{given[max(0, at - 20) :][-60:]!r}, but this "
                f"conversation renders as ...{full[max(0, at - 20) : at + 40]!r}. What it would learn is not what it "
                "has to produce. Give the message what the prompt supplies (its reasoning, say), pass the "
                "template's variable for it (enable_thinking=..., say), or use the model's training template."
            )
        return self._ended(messages, i, tools, text, start, asked)

    def _system_at_the_end(
        self, messages: list[dict[str, Any]], i: int, tools: Tools, text: Traced, asked: Trace
    ) -> tuple[Traced, int] | None:
        """Turn ``i`` after its prompt, where the template writes the system message into the last message only.

        Mistral's templates do so: the system message stands in the prompt, and is gone once the answer is there. What
        the model sees in use is the prompt, so the answer is put behind it, as it is written without a system message.
        """
        if i < 2 or messages[0]["role"] not in ("system", "developer"):
            return None
        bare = self.template.render(messages[1:i], tools, prompt=True, trace=asked, first=1)
        answered = self.template.render(messages[1 : i + 1], tools, trace=asked, first=1)
        start = str.__len__(bare)
        if not _same_until(bare, answered, start):
            return None
        answer = answered[start:]
        if not plain(text).endswith(plain(answer)):
            return None
        prompt = self.template.render(messages[:i], tools, prompt=True, trace=asked)
        self.template.confirm(prompt, messages[:i], tools, prompt=True)
        self.template.confirm(answered, messages[1 : i + 1], tools, first=1)
        return prompt + answer, str.__len__(prompt)

    def _ended(
        self, messages: list[dict[str, Any]], i: int, tools: Tools, text: Traced, start: int, asked: Trace
    ) -> _Turn:
        """Turn ``i``, which begins at ``start``, up to what ends it."""
        inside = controls_in(text, self.words, start)
        ends = [(a, b) for a, b, token in inside if token in self._stops]
        if ends:
            return _Turn(text, Region(start, ends[-1][1]))
        if self._next_message_stops:
            return _Turn(text, Region(start, str.__len__(text), self._stop_after(messages, i, tools, text, asked)))
        special = [(a, b) for a, b, token in inside if token in self._special_ids]
        if special:  # a turn that ends in its own way, such as Llama's <|eom_id|> after a tool call
            return _Turn(text, Region(start, special[-1][1]))
        raise TemplateRefused(
            f"Message {i}: nothing ends this turn, so a model could never learn to stop. Expected one of "
            f"{[self.tok.decode([s]) for s in self._stops]} after it."
        )

    def _stop_after(self, messages: list[dict[str, Any]], i: int, tools: Tools, turn: Traced, asked: Trace) -> int:
        """The token that opens the next message, where that is what ends a turn (GLM)."""
        follow = messages[i + 1 : i + 2]
        if not follow:
            call = bool(messages[i].get("tool_calls"))
            follow = [{"role": "tool", "content": "x"}] if call else [{"role": "user", "content": "x"}]
        text = self.template.render([*messages[: i + 1], *follow], tools, trace=asked)
        for _, _, token in controls_in(text, self.words, len(_common(plain(turn), plain(text)))):
            return token
        return self._stops[0]

    @property
    def _special_ids(self) -> frozenset[int]:
        return frozenset(int(i) for i in self.tok.all_special_ids) | frozenset(self.words.control_ids.tolist())

    def _find_stops(self) -> tuple[int, ...]:
        """Ask the template what ends an assistant turn, by showing it one with and without a follow-up."""
        self._next_message_stops = False
        self.parts_only = False
        base, more = probe("QUESTION", "ANSWER"), probe("AGAIN", "ANSWER")
        try:
            self.parts_only = "ANSWER" not in plain(self.template.render(base))
        except ChatError:
            self.parts_only = True
        if self.parts_only:  # a template for pictures and text, which takes content as a list of parts only
            base, more = as_parts(base), as_parts(more)
        last = self._after_answer(self.template.render(base))
        followed = self._after_answer(self.template.render([*base, *more]))
        own = []
        for a, b in zip(last, followed, strict=False):
            if a != b:
                break
            own.append(a)
        eos = self.tok.eos_token_id
        if own:
            return (own[-1],)
        if last:
            return (int(eos) if eos in last else last[-1],)
        if followed:
            self._next_message_stops = True
            return (followed[0],)
        raise TemplateRefused(
            "The chat template writes no control token after an answer, so a model could never learn to stop. "
            "Use a template that ends the assistant's turn with a token of the tokenizer (its eos token, say)."
        )

    def _after_answer(self, text: Traced) -> list[int]:
        """The control tokens between the first answer and the text after it."""
        raw = plain(text)
        at = raw.find("ANSWER")
        if at < 0:
            raise TemplateRefused("The chat template does not write the assistant's content.")
        end = raw.find("AGAIN", at)
        return [t for a, _, t in controls_in(text, self.words, at) if end < 0 or a < end]

    @property
    def variables(self) -> dict[str, Any]:
        """The template's variables besides the special tokens."""
        special = self.tok.special_tokens_map
        return {k: v for k, v in self.template.variables.items() if k not in special}


def _same_until(a: Traced, b: Traced, end: int) -> bool:
    """Whether two renderings are the same up to ``end``: the same text, from the same suppliers."""
    if plain(a)[:end] != plain(b)[:end] or min(str.__len__(a), str.__len__(b)) < end:
        return False

    def clipped(text: Traced) -> list[tuple[int, int, object]]:
        return [(s.start, min(s.end, end), s.origin) for s in ordered(text.spans) if s.start < end]

    return clipped(a) == clipped(b)


def _common(a: str, b: str) -> str:
    n = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    return a[:n]
