"""The leak audit: which evaluation items leaked into which training rows.

The evaluation sets are held as one index. Training rows are streamed one at a time and never held in memory. The output
is the leaks of each row, and a report with a count and the worst pairs for every evaluation set.

    audit = Audit({"gsm8k": map(item_of, gsm8k)})
    for row in train:
        audit.look(item_of(row))
    print(audit.report().table())

Four kinds of leak:
  source   both come from the same row of a file, or are of one group;
  exact    the same words are asked: the training row's whole prompt, or one turn or answer of at least 8 words, and
           the item's whole prompt, or one turn of it of at least 8 words. Answers are not compared, because a
           question that is known leaks whatever answer stood beside it. Signs before numbers must agree: 5 + 3, 5 - 3;
  near     a stretch of the training row is the item's question (one turn, 8 words or more) but for some words:
           2 x equal words / words of both >= ``near``. With 10 % of the words replaced it is 0.9, with as many put in
           or left out 0.95; 0.85 leaves room for short questions. A question with other numbers in it is near as well;
  ngram    n words in a row are the same, anywhere in prompt or answer. 8 words are often a common phrase, 13 seldom.

Words are those of ``words.py``, the same however a text is typed. So ``don't`` is two words and ``1,000`` too (read so,
8-grams of the training questions of GSM8K hit 80 of its 1,319 test questions and 13-grams 3). Where a script has no
spaces each character is a word, and an n-gram more than half of which is such characters is 2 n long.

System messages of training rows are compared like other turns, each by itself. Of an evaluation set those are left out
that many of its items share; and where many training rows have had the same system message, it is no longer compared
with those of the items, only with what is asked. Paraphrases and translations are not looked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from tunesmith.core.errors import DataError, UnknownName
from tunesmith.core.types import Comparison, Conversation, SetAside
from tunesmith.data.leaks.align import aligned, covered_words, longest_stretch, signs
from tunesmith.data.leaks.index import END, LONG_ENOUGH, SHARED, SHINGLE, UNKNOWN, HeldItems, Index, Part
from tunesmith.data.leaks.item import Item, item_of
from tunesmith.data.leaks.report import CROWD, Leak, Leaked, Report, SetReport, badness, kinds_of, one_line
from tunesmith.data.text import rolling
from tunesmith.data.text.words import excerpt, words

TOLD = 4096
"""System messages of training rows that are remembered."""


class _Told(NamedTuple):
    """A system message of training rows."""

    rows: int
    """How many rows had it."""
    leaks: dict[bool, list[tuple[int, Leak]]]
    """What it gives away; by whether so many rows have it that it is not compared with the items' system messages."""


class Audit:
    """Evaluation sets, ready to be compared with any number of training rows; counts what it sees."""

    def __init__(
        self, sets: Mapping[str, Iterable[Item]], *, ngrams: Sequence[int] = (8, 13), near: float = 0.85
    ) -> None:
        if not sets:
            raise DataError("A leak audit needs at least one evaluation set to compare the training rows with.")
        if bad := [n for n in ngrams if n <= SHINGLE]:
            raise DataError(
                f"n-grams of {bad[0]} words are in every text; ask for {SHINGLE + 1} or more, such as 8, 13."
            )
        if not SHARED <= near <= 1:
            raise DataError(f"near is {near}, but a likeness is from {SHARED} to 1; 0.85 finds 10 % of words edited.")
        self.ngrams = tuple(sorted(set(ngrams)))
        self.near = near
        self._sets = tuple(sets)
        self._rows = 0
        self._leaking: Counter[tuple[int, str]] = Counter()
        self._found: dict[tuple[int, str], Leaked] = {}
        self._held = HeldItems(sets)
        self._too_short = {name: {"exact": 0, "near": 0, **{f"{n}-gram": 0 for n in self.ngrams}} for name in sets}
        self._crowded = {name: {f"{n}-gram": 0 for n in self.ngrams} for name in sets}
        self._index = Index.make(self._parts())
        self._widths = [int(w) for w in np.unique(self._index.widths)]
        self._told: dict[str, _Told] = {}
        compared = frozenset(
            item for item, system in zip(self._held.turn_item, self._held.turn_of_system, strict=True) if not system
        )
        for item in range(len(self._held.items)):
            counts = self._too_short[self._sets[self._held.set_of[item]]]
            counts["exact"] += item not in self._held.compared_as_whole
            counts["near"] += item not in compared

    @property
    def kinds(self) -> tuple[str, ...]:
        """The ways to leak, the surest first."""
        return kinds_of(self.ngrams)

    def _parts(self) -> list[Part]:
        """All windows of the evaluation sets that a row can match."""
        held = self._held
        ends, alone = (np.append(0, np.cumsum(x)) for x in (held.tokens == END, held.alone))
        sums = rolling.sums(held.hashes[held.tokens])
        parts = []
        for n in self.ngrams:
            has = np.zeros(len(held.items), np.bool_)
            for width, wide in ((n, False), (2 * n, True)):
                windows = rolling.windows(sums, width)
                whole = ends[width:] == ends[: len(windows)]
                mostly = 2 * (alone[width:] - alone[: len(windows)]) > width
                places = np.flatnonzero(whole & (mostly == wide))
                has[held.item_at[places]] = True
                parts.append(Part(*self._thinned(windows[places], places, f"{n}-gram"), width, n))
            for item in np.flatnonzero(~has):
                self._too_short[self._sets[held.set_of[item]]][f"{n}-gram"] += 1
        windows = rolling.windows(sums, SHINGLE)
        places = np.flatnonzero((held.turn_at[: len(windows)] >= 0) & (ends[SHINGLE:] == ends[: len(windows)]))
        parts.append(Part(windows[places], places, SHINGLE, 0))
        return [part for part in parts if len(part.places)]

    def _thinned(
        self, hashes: NDArray[np.uint64], places: NDArray[np.int64], kind: str
    ) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
        """Without the places of an n-gram in all but the first ``CROWD`` items of a set."""
        order = np.lexsort((places, hashes))
        hashes, places = hashes[order], places[order]
        item = self._held.item_at[places]
        of_set = np.array(self._held.set_of, np.int64)[item]
        differs = np.append(True, (np.diff(hashes) != 0) | (np.diff(of_set) != 0))[: len(hashes)]
        next_item = differs | np.append(True, np.diff(item) != 0)[: len(hashes)]
        rank = np.cumsum(next_item)
        rank -= rank[differs][np.cumsum(differs) - 1] if len(rank) else 0
        for number, count in zip(*np.unique(of_set[next_item & (rank == CROWD)], return_counts=True), strict=True):
            self._crowded[self._sets[number]][kind] += int(count)
        keep = rank < CROWD
        return hashes[keep], places[keep]

    def look(self, row: Item) -> list[tuple[str, Leak]]:
        """One training row against all evaluation sets: every leak, with the name of the set it leaks into."""
        self._rows += 1
        leaks = self._by_source(row) + self._compare(row)
        for text in row.system:
            known = {(item, leak.name) for item, leak in leaks}
            told = self._by_system(text)
            leaks += [(i, replace(leak, train=row.id)) for i, leak in told if (i, leak.name) not in known]
        self._count(leaks)
        return [(self._sets[self._held.set_of[item]], leak) for item, leak in leaks]

    def _by_system(self, text: str) -> list[tuple[int, Leak]]:
        """The leaks of a system message. Many rows have the same, so the last ones are kept with what was found."""
        told = self._told.pop(text, None) or _Told(0, {})
        shared = told.rows >= CROWD
        if shared not in told.leaks:
            told.leaks[shared] = self._compare(Item("", (text,)), with_system=not shared)
        self._told[text] = _Told(told.rows + 1, told.leaks)
        if len(self._told) > TOLD:
            del self._told[next(iter(self._told))]
        return told.leaks[shared]

    def _compare(self, row: Item, with_system: bool = True) -> list[tuple[int, Leak]]:
        """The leaks of a row's texts, with or without those into system messages."""
        known = self._held.ids.get
        ids: list[int] = []
        stops = []
        for text in row.prompt + row.answer:
            ids += [known(word, UNKNOWN) for word in words(text)]
            ids.append(END)
            stops.append(len(ids) - 1)
        tokens = np.array(ids, np.int64)
        exact = self._by_exact(row, tokens, stops, with_system)
        leaks = list(exact.values())

        sums = rolling.sums(self._held.hashes[tokens])
        windows = [rolling.windows(sums, width) for width in self._widths]
        at, key = self._index.find(np.concatenate(windows)) if windows else (tokens[:0], tokens[:0])
        if len(at):
            firsts = np.cumsum([0, *(len(w) for w in windows)])
            at = at - firsts[np.searchsorted(firsts, at, "right") - 1]
            shingle = self._index.names[key] == 0
            leaks += self._by_nearness(row, tokens, at[shingle], key[shingle], exact, with_system)
            if not shingle.all():
                leaks += self._by_ngram(row, at[~shingle], key[~shingle], with_system)
        return leaks

    def _count(self, leaks: Iterable[tuple[int, Leak]]) -> None:
        into = set()
        for item, leak in leaks:
            key = (item, leak.name)
            one = Leaked(leak.held, 1, (leak,))
            self._found[key] = self._found[key].merge(one) if key in self._found else one
            into.add((self._held.set_of[item], leak.name))
        self._leaking.update(into)

    def _by_source(self, row: Item) -> list[tuple[int, Leak]]:
        found = dict.fromkeys(self._held.groups.get(row.group, ()), f"group {row.group}")
        found |= {item: str(row.source) for item in self._held.sources.get(row.source, ())}
        items = self._held.items
        return [(i, Leak("source", 0, row.id, items[i].id, text, 1.0)) for i, text in sorted(found.items())]

    def _by_exact(
        self, row: Item, tokens: NDArray[np.int64], stops: list[int], with_system: bool
    ) -> dict[int, tuple[int, Leak]]:
        starts = [0, *(stop + 1 for stop in stops)][: len(stops)]
        asked = len(row.prompt or row.answer)
        texts = row.prompt + row.answer
        whole = tokens[: stops[asked - 1]] if asked else tokens
        asks = [(whole[whole != END].tobytes(), texts[:asked])] if len(whole) else []
        for start, stop, text in zip(starts, stops, texts, strict=True):
            if stop - start >= LONG_ENOUGH and len(stops) > 1:
                asks.append((tokens[start:stop].tobytes(), (text,)))
        found: dict[int, tuple[int, Leak]] = {}
        for words_asked, said in asks:
            for item, asked_there, system in self._held.exact.get(words_asked, ()):
                if system and not with_system:
                    continue
                if item not in found and signs(said) == signs(asked_there):
                    text = excerpt(said, 0, len(tokens))
                    found[item] = (item, Leak("exact", 0, row.id, self._held.items[item].id, text, 1.0))
        return dict(sorted(found.items()))

    def _by_nearness(
        self,
        row: Item,
        tokens: NDArray[np.int64],
        at: NDArray[np.int64],
        key: NDArray[np.int64],
        exact: Collection[int],
        with_system: bool,
    ) -> list[tuple[int, Leak]]:
        held = self._held
        keys = np.unique(key)
        places, which = self._index.spread(keys)
        turn = held.turn_at[places]
        counts = np.bincount(turn)
        hopeful = np.flatnonzero(counts >= np.maximum(held.turn_needs[: len(counts)], 1))
        share = counts[hopeful] / held.turn_needs[hopeful]
        best: dict[int, Leak] = {}
        tries: Counter[int] = Counter()
        for t in hopeful[np.argsort(-share, kind="stable")].tolist():
            item = held.turn_item[t]
            of_set = held.set_of[item]
            if item in exact or tries[of_set] == CROWD or (held.turn_of_system[t] and not with_system):
                continue
            tries[of_set] += 1
            start, stop = held.turns[t]
            hits = np.unique(at[np.isin(key, keys[which[turn == t]])])
            likeness, a, b = aligned(held.tokens[start:stop], tokens, hits)
            if likeness >= self.near and (item not in best or likeness > best[item].score):
                text = excerpt(row.prompt + row.answer, a, b)
                best[item] = Leak("near", 0, row.id, held.items[item].id, text, round(likeness, 4))
        return sorted(best.items())

    def _by_ngram(
        self, row: Item, at: NDArray[np.int64], key: NDArray[np.int64], with_system: bool
    ) -> list[tuple[int, Leak]]:
        held = self._held
        places, which = self._index.spread(key)
        if not with_system:
            asked = ~held.of_system[places]
            places, which = places[asked], which[asked]
        item, name = held.item_at[places], self._index.names[key[which]]
        width, at = self._index.widths[key[which]], at[which]
        leaks = []
        for n in reversed(self.ngrams):
            for one in np.unique(item[name == n]).tolist():
                mine = (name == n) & (item == one)
                a, b = longest_stretch(at[mine], places[mine], width[mine])
                covered = covered_words(places[mine], width[mine])
                score = round(covered / held.sizes[one], 4)
                text = excerpt(row.prompt + row.answer, a, b)
                leaks.append((one, Leak("ngram", n, row.id, held.items[one].id, text, score)))
        return leaks

    def report(self) -> Report:
        """What was found in all rows so far."""
        sets = {}
        for number, name in enumerate(self._sets):
            leaked: dict[str, list[Leaked]] = {kind: [] for kind in self.kinds}
            for (item, kind), one in self._found.items():
                if self._held.set_of[item] == number:
                    leaked[kind].append(one)
            ordered = {kind: tuple(sorted(ones, key=lambda one: one.held)) for kind, ones in leaked.items()}
            rows = {kind: self._leaking[number, kind] for kind in self.kinds}
            items = self._held.set_of.count(number)
            sets[name] = SetReport(
                items, dict(self._too_short[name]), dict(self._crowded[name]), ordered, rows, self._held.shared[number]
            )
        return Report(self._rows, self.ngrams, self.near, sets)


Row = TypeVar("Row", Conversation, Comparison)


def without_leaks(rows: Iterable[Row], audit: Audit, kinds: Collection[str] = ()) -> Iterator[Row | SetAside]:
    """The rows that give nothing away; each of the others set aside with what it gives away.

    ``kinds`` are the ways that count: all but the shorter n-grams, unless said otherwise.
    """
    wanted = _wanted(kinds, audit.ngrams)
    for row in rows:
        found = leak_of(row, audit, wanted)
        yield row if found is None else SetAside(row.id, f"leaks into {found}", row.source)


def leak_of(row: Conversation | Comparison, audit: Audit, kinds: Collection[str]) -> str | None:
    """The worst leak of a row in one of these ways, in words that begin with the set's name; or nothing."""
    leaks = [(name, leak) for name, leak in audit.look(item_of(row)) if leak.name in kinds]
    if not leaks:
        return None
    name, leak = min(leaks, key=lambda one: (audit.kinds.index(one[1].name), badness(one[1])))
    return f"{name}: {leak.name} {one_line(leak.text)!r} of {leak.held}"


def fail_over(report: Report, share: float, kinds: Collection[str] = ()) -> None:
    """An error that names the sets of which more than ``share`` of the items leak, in ways as for ``without_leaks``."""
    wanted = _wanted(kinds, report.ngrams)
    leaking = {name: s.share(wanted) for name, s in report.sets.items() if s.share(wanted) > share}
    if leaking:
        sets = ", ".join(
            f"{name} ({value:.2%} of {report.sets[name].items:,} items)" for name, value in leaking.items()
        )
        raise DataError(
            f"The training rows leak into {sets}; at most {share:.2%} is allowed. Counted: {', '.join(wanted)}. "
            "Look at the pairs in the report, then remove the leaking rows or allow a larger share."
        )


def _wanted(kinds: Collection[str], ngrams: Sequence[int]) -> tuple[str, ...]:
    known = kinds_of(ngrams)
    for kind in kinds:
        if kind not in known:
            raise UnknownName("kind of leak", kind, known)
    return tuple(k for k in known if (k in kinds if kinds else k not in {f"{n}-gram" for n in sorted(ngrams)[:-1]}))
