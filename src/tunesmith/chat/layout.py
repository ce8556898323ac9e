"""A rendered conversation cut into what is fixed and what is text, ready to be filled again and again.

    rendered (traced) -> Layout: [fixed ids] [text: "user\\n" + slot] [fixed ids] [text: "assistant\\n" | slot] ...

A ``Layout`` holds the ids of the template's own text, already encoded, and between them the texts that
depend on the conversation. One conversation's layout serves every other of the same shape; that is what
makes encoding as fast as the tokenizer. When a rendering cannot be replayed its layout is used once.

``Filler`` gathers many filled layouts and encodes all their texts in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tunesmith.chat.tokenizer import Ids, TextTokenizer
from tunesmith.chat.trace import Guard, Ops, Span, Traced, apply_ops, ask, ordered, plain
from tunesmith.core.errors import TemplateRefused

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one value of the conversation: which message, which field, what is stripped."""

    message: int
    field: str
    ops: Ops

    def fill(self, messages: Messages) -> str:
        return apply_ops(messages[self.message][self.field], self.ops)


@dataclass(frozen=True, slots=True)
class Fixed:
    """Ids that are the same in every conversation of this shape."""

    ids: tuple[int, ...]
    learn: bool


@dataclass(frozen=True, slots=True)
class Text:
    """Text that is encoded as one piece; learned, when ``learn``, from the end of ``lead`` on."""

    parts: tuple[str | Slot, ...]
    learn: bool = False
    lead: tuple[str | Slot, ...] = ()
    first: bool = False
    """It opens the rendering, where sentencepiece tokenizers add a space."""


@dataclass(frozen=True, slots=True)
class Region:
    """Characters ``start`` to ``end`` of a rendering are learned; ``stop`` is appended where nothing ends it."""

    start: int
    end: int
    stop: int | None = None


@dataclass(frozen=True, slots=True)
class Layout:
    items: tuple[Fixed | Text, ...]
    guards: tuple[Guard, ...]
    replayable: bool

    def fits(self, messages: Messages) -> bool:
        """Whether a conversation of this shape gives the answers that this layout was made from."""
        return all(ask(g, messages[int(g.path[0])][str(g.path[1])]) for g in self.guards)


def controls_in(text: Traced | str, words: TextTokenizer, start: int = 0) -> list[tuple[int, int, int]]:
    """The control tokens that the template itself wrote from ``start`` on: (start, end, id)."""
    raw = plain(text)
    spans = _spans(text)
    if any(s.origin.mixed and words.pattern.search(raw, s.start, s.end) for s in spans):
        raise TemplateRefused(
            "The chat template makes a control token with an operation that mixes its own text with the "
            "user's, so the two cannot be told apart. It cannot be encoded exactly."
        )
    found, at = [], 0
    edges = [(s.start, s.end) for s in spans] + [(len(raw), len(raw))]
    for a, b in edges:
        for m in words.pattern.finditer(raw, at, a):
            if m.start() >= start:
                found.append((m.start(), m.end(), words.controls[m.group()].id))
        at = max(at, b)
    return found


def _spans(text: Traced | str) -> list[Span]:
    return ordered(text.spans) if isinstance(text, Traced) else []


def make_layout(text: Traced | str, regions: Sequence[Region], words: TextTokenizer, replay: bool) -> Layout:
    """Cut a rendering at its control tokens, and mark what is learned."""
    raw = plain(text)
    spans = _spans(text)
    # An empty value stays empty in every conversation of this shape, unless stripping emptied it.
    replay = replay and all(s.origin.whole and (s.end > s.start or not s.origin.ops) for s in spans)
    spans = [s for s in spans if s.end > s.start]
    items: list[Fixed | Text] = []

    def add(start: int, end: int) -> None:
        if start < end:
            inside = [s for s in spans if s.start < end and s.end > start]
            items.append(_text(raw, start, end, inside, regions, words, replay))

    at = 0
    for a, b, token in controls_in(text, words):
        control = words.controls[raw[a:b]]
        left, right = a, b
        if control.lstrip:
            left = at + len(raw[at:a].rstrip())
            replay = replay and not any(s.end == a for s in spans)
        if control.rstrip:
            right = b + len(raw[b:]) - len(raw[b:].lstrip())
            # The text after it may begin with spaces in the next conversation, and not in this one.
            replay = replay and not any(s.start <= right and s.end > b for s in spans)
        add(at, left)
        items.append(Fixed((token,), any(r.start <= a and b <= r.end for r in regions)))
        at = max(at, right)
    add(at, len(raw))
    items += [Fixed((r.stop,), True) for r in regions if r.stop is not None]
    guards = tuple(text.trace.guards) if isinstance(text, Traced) and replay else ()
    return Layout(_merged(items), guards, replay)


def _text(
    raw: str,
    start: int,
    end: int,
    spans: Sequence[Span],
    regions: Sequence[Region],
    words: TextTokenizer,
    replay: bool,
) -> Fixed | Text:
    """The text between two control tokens. A region ends at a control token, so here it can only begin."""
    begin = next((max(r.start, start) for r in regions if r.start < end and r.end > start), None)
    if not spans and begin in (None, start):
        encode = words.encode_first if start == 0 else words.encode
        return Fixed(tuple(encode(raw[start:end]).tolist()), begin is not None)
    lead: tuple[str | Slot, ...] = ()
    if begin is not None and begin > start:
        lead = _parts(raw, start, begin, spans, replay)
    return Text(_parts(raw, start, end, spans, replay), begin is not None, lead, start == 0)


def _parts(raw: str, start: int, end: int, spans: Sequence[Span], replay: bool) -> tuple[str | Slot, ...]:
    if not replay:
        return (raw[start:end],)
    parts: list[str | Slot] = []
    for span in spans:
        if span.start >= end:
            break
        if span.start > start:
            parts.append(raw[start : span.start])
        parts.append(Slot(int(span.origin.path[0]), str(span.origin.path[1]), span.origin.ops))
        start = span.end
    if start < end:
        parts.append(raw[start:end])
    return tuple(parts)


def _merged(items: Sequence[Fixed | Text]) -> tuple[Fixed | Text, ...]:
    out: list[Fixed | Text] = []
    for item in items:
        last = out[-1] if out else None
        if isinstance(item, Fixed) and isinstance(last, Fixed) and last.learn == item.learn:
            out[-1] = Fixed(last.ids + item.ids, item.learn)
        else:
            out.append(item)
    return tuple(out)


class Filled(NamedTuple):
    """Rows end to end, and how many answers began in the middle of a token."""

    ids: Ids
    learn: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    straddled: int


class Filler:
    """Filled layouts, waiting to be encoded together.

    A row is a run of pieces; a piece is either a stretch of the layout's fixed ids or text number n.
    ``finish`` encodes all texts in one call and strings the pieces of all rows together with numpy,
    so that no Python runs per token.
    """

    def __init__(self, words: TextTokenizer) -> None:
        self.words = words
        self._texts: list[str] = []
        self._rows: list[_Pieces] = []
        self._pieces: dict[int, _Pieces] = {}
        self._layouts: list[Layout] = []  # kept alive, because they are known by their id()
        self._firsts: list[int] = []
        self._open_leads: dict[int, str] = {}
        self._leads: list[tuple[str, Ids]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, layout: Layout, messages: Messages) -> None:
        pieces = self._pieces.get(id(layout))
        if pieces is None:
            pieces = self._pieces[id(layout)] = _Pieces(layout, self._lead)
            self._layouts.append(layout)
        texts = self._texts
        if pieces.odd:
            for i, item in enumerate(pieces.items):
                if item.first:
                    self._firsts.append(len(texts) + i)
                if any(isinstance(p, Slot) for p in item.lead):
                    self._open_leads[len(texts) + i] = _fill(item.lead, messages)
        for fill in pieces.fills:
            texts.append(fill(messages))
        self._rows.append(pieces)

    def _lead(self, item: Text) -> int:
        """0: no lead; n > 0: lead number n, the same in every row; -1: it holds text of the conversation."""
        if not item.lead:
            return 0
        if any(isinstance(p, Slot) for p in item.lead):
            return -1
        text = "".join(str(p) for p in item.lead)
        self._leads.append((text, self.words.encode_first(text) if item.first else self.words.encode(text)))
        return len(self._leads)

    def finish(self) -> Filled:
        if not self._rows:
            return Filled(np.zeros(0, np.int32), np.zeros(0, np.bool_), np.zeros(1, np.int64), 0)
        pool, text_start, text_length = self._encode()
        rows = self._rows
        counts = np.array([len(r.kind) for r in rows], np.int64)
        row = np.repeat(np.arange(len(rows)), counts)
        texts = np.array([len(r.items) for r in rows], np.int64)
        is_text = np.concatenate([r.kind for r in rows])
        start = np.concatenate([r.start for r in rows])
        length = np.concatenate([r.length for r in rows])
        learn = np.concatenate([r.learn for r in rows])
        lead = np.concatenate([r.lead for r in rows])

        number = start + (np.cumsum(texts) - texts)[row]  # of the text, where it is one
        start = start + np.array([r.base for r in rows], np.int64)[row]
        start[is_text] = text_start[number[is_text]]
        length[is_text] = text_length[number[is_text]]

        # A text that is learned from its middle on becomes two pieces.
        led = np.flatnonzero(lead)
        unlearned = np.zeros(len(row), np.int64)
        straddled = 0
        for i in self._match_leads(pool, start, length, lead, unlearned):
            n = int(number[i])
            text = self._leads[lead[i] - 1][0] if lead[i] > 0 else self._open_leads[n]
            unlearned[i], clean = self.words.tokens_before(len(text), self._texts[n], first=n in self._firsts)
            straddled += not clean
        if len(led):
            twice = 1 + (lead != 0)
            order = np.repeat(np.arange(len(row)), twice)
            second = np.r_[False, order[1:] == order[:-1]]
            front = np.r_[second[1:], False]
            k = unlearned[order]
            row, start, length, learn = row[order], start[order], length[order], learn[order]
            start[second] += k[second]
            length[second] -= k[second]
            length[front] = k[front]
            learn[front] = False

        ends = np.cumsum(length)
        index = np.arange(ends[-1]) + np.repeat(start - (ends - length), length)
        per_row = np.bincount(row, weights=length, minlength=len(rows)).astype(np.int64)
        offsets = np.r_[0, np.cumsum(per_row)]
        return Filled(pool[index], np.repeat(learn, length), offsets, straddled)

    def _encode(self) -> tuple[Ids, NDArray[np.int64], NDArray[np.int64]]:
        """The pool of all ids (texts, fixed ids of each layout, opening texts), and where each text lies."""
        ids, at = self.words.encode_batch(self._texts)
        start, length = at[:-1].copy(), np.diff(at)
        pool, size = [ids], len(ids)
        for pieces in self._pieces.values():
            pieces.base = size
            pool.append(pieces.fixed)
            size += len(pieces.fixed)
        for n in self._firsts:
            first = self.words.encode_first(self._texts[n])
            start[n], length[n] = size, len(first)
            pool.append(first)
            size += len(first)
        return np.concatenate(pool), start, length

    def _match_leads(
        self,
        pool: Ids,
        start: NDArray[np.int64],
        length: NDArray[np.int64],
        lead: NDArray[np.int64],
        unlearned: NDArray[np.int64],
    ) -> list[int]:
        """Where a text begins with the very ids of its lead, the boundary is after them. Returns the others."""
        missed = np.flatnonzero(lead < 0).tolist()
        for n, (_, ids) in enumerate(self._leads, 1):
            here = np.flatnonzero(lead == n)
            same = length[here] >= len(ids)
            for j, token in enumerate(ids.tolist()):
                same[same] = pool[start[here[same]] + j] == token
            unlearned[here[same]] = len(ids)
            missed += here[~same].tolist()
        return missed


class _Pieces:
    """A layout as the arrays that ``Filler.finish`` strings together."""

    def __init__(self, layout: Layout, lead: Callable[[Text], int]) -> None:
        self.items = [item for item in layout.items if isinstance(item, Text)]
        self.fills = [_filling(item.parts) for item in self.items]
        self.odd = any(item.first or any(isinstance(p, Slot) for p in item.lead) for item in self.items)
        self.base = 0
        fixed: list[int] = []
        rows: list[tuple[bool, int, int, bool, int]] = []
        texts = 0
        for item in layout.items:
            if isinstance(item, Fixed):
                rows.append((False, len(fixed), len(item.ids), item.learn, 0))
                fixed += item.ids
            else:
                rows.append((True, texts, 0, item.learn, lead(item)))
                texts += 1
        kind, start, length, learn, leads = zip(*rows, strict=True) if rows else ((), (), (), (), ())
        self.kind = np.array(kind, np.bool_)
        self.start = np.array(start, np.int64)
        self.length = np.array(length, np.int64)
        self.learn = np.array(learn, np.bool_)
        self.lead = np.array(leads, np.int64)
        self.fixed = np.array(fixed, np.int32)


def _fill(parts: Sequence[str | Slot], messages: Messages) -> str:
    return "".join(p if isinstance(p, str) else p.fill(messages) for p in parts)


def _filling(parts: tuple[str | Slot, ...]) -> Callable[[Messages], str]:
    """The quickest function that fills these parts."""
    slots = [p for p in parts if isinstance(p, Slot)]
    if not slots:
        text = "".join(str(p) for p in parts)
        return lambda messages: text
    if len(slots) == 1 and not slots[0].ops:
        i, slot = parts.index(slots[0]), slots[0]
        before = "".join(str(p) for p in parts[:i])
        after = "".join(str(p) for p in parts[i + 1 :])
        m, field = slot.message, slot.field
        if not after:
            return lambda messages: before + messages[m][field]
        return lambda messages: before + messages[m][field] + after
    return lambda messages: _fill(parts, messages)
