"""The data card of a build: its contents, to be read before training on it or trusting a model trained on it.

    card = measure("runs/build")         one pass over at most ``LOOKED_AT`` training rows, evenly spaced
    markdown(card), html(card)
    write("runs/build")                  card.<format>.md and card.<format>.html beside the rows

Counts of rows, clusters and reasons are those of the whole build; lengths, languages and verbs are of the rows looked
at, and the card says how many those were.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from markupsafe import Markup

from tunesmith.core.document import shipped
from tunesmith.core.types import Comparison, Conversation
from tunesmith.data import store
from tunesmith.data.builds import manifest
from tunesmith.data.clean.step import answer, count_words, question
from tunesmith.pages import templates
from tunesmith.pages.plot import Bar, Mark, bars, percent
from tunesmith.pages.words import Words, words

Row = TypeVar("Row", Conversation, Comparison)

LOOKED_AT = 50_000
VERBS, NOUNS = 20, 4


@dataclass
class Card:
    """What is shown."""

    about: Mapping[str, Any]
    """The manifest."""
    rows: int = 0
    """Conversations to train on."""
    compared: int = 0
    """Comparisons to train on. Of each the prompt and the best answer are looked at."""
    looked_at: int = 0
    tasks: Counter[str] = field(default_factory=Counter)
    clusters: Counter[str] = field(default_factory=Counter)
    licences: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    tags: Counter[str] = field(default_factory=Counter)
    turns: Counter[int] = field(default_factory=Counter)
    prompts: Counter[int] = field(default_factory=Counter)
    """Words of the prompt, by powers of two."""
    answers: Counter[int] = field(default_factory=Counter)
    wheel: dict[str, Counter[str]] = field(default_factory=dict)
    """Root verbs of English instructions, and the nouns that they are done to."""
    sample: list[Conversation] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All rows to train on."""
        return self.rows + self.compared

    @property
    def reasons(self) -> list[tuple[str, str, int]]:
        """Step, reason and count of rows that were not used, without questions that were merely not drawn."""
        steps = [step for step in self.about["ledger"] if not step["name"].startswith("held-out rows")]
        return [(s["name"], reason, n) for s in steps for reason, n in s["aside"].items() if n]


def measure(folder: Path | str, format: str | None = None) -> Card:
    """Look at a build."""
    import pyarrow.parquet as pq

    folder = Path(folder)
    about = manifest.load(folder, format)
    card = Card(about)
    files = sorted((folder / f"train.{about['format']}").glob("*.parquet"))
    card.rows = sum(pq.read_metadata(path).num_rows for path in files)
    for row in _spaced(card, files, card.rows, store.of_table):
        _look(card, row)
    compared = folder / "compared.train.parquet"
    if about["comparisons"] and compared.exists():
        card.compared = pq.read_metadata(compared).num_rows
        for judged in _spaced(card, [compared], card.compared, store.of_compared):
            best = judged.answers[judged.scores.index(max(judged.scores))]
            _look(card, Conversation((*judged.prompt, *best), judged.id, judged.task, language=judged.language))
    return card


def _spaced(card: Card, files: Sequence[Path], count: int, of_table: Callable[[Any], Iterator[Row]]) -> Iterator[Row]:
    """The rows of files to look at, evenly spaced; all of them are counted by task, cluster and licence."""
    step = max(1, math.ceil(count / LOOKED_AT))
    begin = 0
    for table in store.tables_of(*files):
        if not table.num_rows:
            continue
        for key, counter in (("task", card.tasks), ("cluster", card.clusters), ("licence", card.licences)):
            for pair in table[key].combine_chunks().value_counts().to_pylist():
                counter[pair["values"]] += pair["counts"]
        few = range(-begin % step, table.num_rows, step)
        begin += table.num_rows
        if few:
            yield from of_table(table.take(list(few)))


def _look(card: Card, row: Conversation) -> None:
    card.looked_at += 1
    asked, said = sum(count_words(m.content) for m in row.prompt), count_words(answer(row))
    card.prompts[_power(asked)] += 1
    card.answers[_power(said)] += 1
    card.languages[row.language] += 1
    card.turns[sum(m.role == "user" for m in row.messages)] += 1
    card.tags.update("quality" if tag.startswith("quality:") else tag for tag in row.tags)
    if row.language == "en" and (pair := verb_noun(question(row))):
        card.wheel.setdefault(pair[0], Counter())[pair[1]] += 1
    if card.looked_at & (card.looked_at - 1) == 0 and len(card.sample) < 12:
        card.sample.append(row)  # the 1st, 2nd, 4th, 8th ...: some of everywhere


def verb_noun(text: str) -> tuple[str, str] | None:
    """What an English instruction asks to do, and to what: ``("write", "story")``. Without a parser: the first verb of
    those that instructions begin with, and the last word of the noun phrase that follows."""
    known = _words()
    words = re.findall(r"[a-z']+|[.,;:?!\n]", text[:400].lower())
    for i, word in enumerate(words):
        if word not in known["verbs"] or (i and words[i - 1] in known["between"] - known["people"]):
            continue
        noun = ""
        for other in words[i + 1 : i + 12]:
            if other in known["between"]:
                if noun:
                    break
                continue
            if not other[0].isalpha() or other in known["ends"]:
                break
            noun = other
        if noun:
            return word, noun
        return None
    return None


def write(folder: Path | str, format: str | None = None, language: str | None = None) -> Path:
    """Write the card of a build in both forms and one language; gives the page's path."""
    folder, t = Path(folder), words(language)
    card = measure(folder, format)
    name = f"card.{card.about['format']}"
    (folder / f"{name}.md").write_text(markdown(card, t), encoding="utf-8")
    page = folder / f"{name}.html"
    page.write_text(html(card, t), encoding="utf-8")
    return page


def markdown(card: Card, t: Words | None = None) -> str:
    """The card as Markdown, for a repository or a hub."""
    t = t or words()
    share = (t("rows"), t("share"))
    lines = ["# " + t("Data card: {title}", title=_title(card, t)), "", _summary(card, t), ""]
    lines += ["## " + t("Held out"), "", *_bullets(_held_out(card, t)), ""]
    lines += ["## " + t("Clusters"), "", *_table((t("cluster"), *share), _shares(card.clusters, card.total, t)), ""]
    lines += ["## " + t("Tasks"), "", *_table((t("task"), *share), _shares(card.tasks, card.total, t)), ""]
    lines += ["## " + t("Lengths, in words ({n} rows looked at)", n=f"{card.looked_at:,}"), ""]
    names = sorted(set(card.prompts) | set(card.answers))
    lengths = [(_range(n, t), f"{card.prompts[n]:,}", f"{card.answers[n]:,}") for n in names]
    lines += [*_table((t("words"), t("prompts"), t("completions")), lengths), ""]
    languages = _shares(card.languages, card.looked_at, t)
    lines += ["## " + t("Languages"), "", *_table((t("language"), *share), languages), ""]
    if card.tags:
        lines += ["## " + t("Tags"), "", *_table((t("tag"), *share), _shares(card.tags, card.looked_at, t)), ""]
    if card.wheel:
        verbs = [(v, ", ".join(f"{n} {c}" for n, c in nouns.most_common(NOUNS))) for v, nouns in _verbs(card)]
        lines += ["## " + t("What is asked for"), "", *_table((t("verb"), t("nouns")), verbs), ""]
    asides = [(t.part(step), t.part(reason), f"{n:,}") for step, reason, n in card.reasons]
    head = (t("step"), t("reason"), t("rows"))
    lines += ["## " + t("Rows not used"), "", *(_table(head, asides) if asides else [t("None.")]), ""]
    files = (t("file"), t("bytes"), "SHA-256", t("licence"))
    lines += ["## " + t("Sources"), "", *_table(files, _sources(card)), ""]
    lines += [t("Made by tunesmith {version}, seed {n}.", version=card.about["tunesmith"], n=card.about["seed"]), ""]
    return "\n".join(lines)


def html(card: Card, t: Words | None = None) -> str:
    """The card as one page that loads nothing."""
    t = t or words()
    turns = Counter({t.count(n, "{n} turn", "{n} turns"): c for n, c in sorted(card.turns.items())})
    view = {
        "t": t,
        "title": _title(card, t),
        "summary": _summary(card, t),
        "held_out": _held_out(card, t),
        "tiles": [
            (f"{card.rows:,}", t("rows to train on")),
            *([(f"{card.compared:,}", t("comparisons to train on"))] if card.compared else []),
            (f"{len(card.tasks):,}", t("tasks")),
            (f"{len(card.clusters):,}", t("clusters")),
            (f"{sum(n for _, _, n in card.reasons):,}", t("rows not used")),
        ],
        "clusters": _bars(card.clusters, card.total, t),
        "tasks": _named(_shares(card.tasks, card.total, t)),
        "prompts": _histogram(card.prompts, card.looked_at, t),
        "answers": _histogram(card.answers, card.looked_at, t),
        "looked_at": card.looked_at,
        "languages": _bars(card.languages, card.looked_at, t),
        "turns": _shares(turns, card.looked_at, t),
        "tags": _named(_shares(card.tags, card.looked_at, t)),
        "wheel": wheel(card, t) if card.wheel else None,
        "verbs": [
            {"name": verb, "nouns": ", ".join(f"{noun} {n:,}" for noun, n in nouns.most_common(NOUNS))}
            for verb, nouns in _verbs(card)
        ],
        "ledger": [_step(step, t) for step in card.about["ledger"]],
        "changed": card.about["changed"],
        "sources": [
            {"name": name, "bytes": size, "digest": digest, "licence": licence or t("not stated")}
            for name, size, digest, licence in _sources(card)
        ],
        "sample": card.sample,
        "about": card.about,
    }
    return templates("tunesmith.data").get_template("datacard.html").render(view)


def _step(step: Mapping[str, Any], t: Words) -> dict[str, Any]:
    """A step of the ledger: its rows, and where they went."""
    rows = [{"name": t.part(name), "rows": f"{n:,}"} for name, n in step["out"].items() if n]
    rows += [
        {"name": t("not used: {reason}", reason=t.part(why)), "rows": f"{n:,}"} for why, n in step["aside"].items()
    ]
    return {"name": t.part(step["name"]), "rows_in": step["rows_in"], "rows": rows}


def _named(rows: Sequence[tuple[str, str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "rows": count, "share": share} for name, count, share in rows]


def wheel(card: Card, t: Words | None = None) -> Markup:
    """Verbs in a ring, and around each the nouns that it is asked for with, as in the paper of Self-Instruct."""
    verbs = _verbs(card)
    total = sum(sum(c for _, c in nouns.most_common(NOUNS)) for _, nouns in verbs) or 1
    parts: list[str] = []
    angle = -math.pi / 2
    for number, (verb, nouns) in enumerate(verbs):
        top = nouns.most_common(NOUNS)
        size = 2 * math.pi * sum(c for _, c in top) / total
        hue = round(360 * number / len(verbs))
        parts.append(_slice(0.34, 0.62, angle, angle + size, verb, sum(nouns.values()), hue, 62))
        at = angle
        for noun, count in top:
            part = size * count / (sum(c for _, c in top) or 1)
            parts.append(_slice(0.63, 0.98, at, at + part, noun, count, hue, 76))
            at += part
        angle += size
    return Markup('<svg class="wheel" viewBox="-1 -1 2 2" role="img" aria-label="{}">{}</svg>').format(
        (t or words())("The most frequent verbs and their nouns"), Markup("".join(parts))
    )


def _slice(r1: float, r2: float, a: float, b: float, label: str, count: int, hue: int, light: int) -> str:
    b = min(b, a + 2 * math.pi - 1e-4)
    large = int(b - a > math.pi)
    points = [(r * math.cos(t), r * math.sin(t)) for r, t in ((r1, a), (r2, a), (r2, b), (r1, b))]
    (x1, y1), (x2, y2), (x3, y3), (x4, y4) = points
    path = (
        f"M{x1:.4f} {y1:.4f}L{x2:.4f} {y2:.4f}A{r2} {r2} 0 {large} 1 {x3:.4f} {y3:.4f}"
        f"L{x4:.4f} {y4:.4f}A{r1} {r1} 0 {large} 0 {x1:.4f} {y1:.4f}Z"
    )
    text = ""
    size = min(0.055, 0.85 * (b - a) * (r1 + r2) / 2)
    if size > 0.022:
        middle, radius = (a + b) / 2, (r1 + r2) / 2
        turn = math.degrees(middle) + (180 if math.cos(middle) < 0 else 0)
        size = min(size, 1.7 * (r2 - r1) / max(4, len(label)))
        text = (
            f'<text x="{radius * math.cos(middle):.4f}" y="{radius * math.sin(middle):.4f}" font-size="{size:.3f}" '
            f'transform="rotate({turn:.1f} {radius * math.cos(middle):.4f} {radius * math.sin(middle):.4f})">'
            f"{label}</text>"
        )
    return f'<g><title>{label}: {count}</title><path d="{path}" fill="hsl({hue} 48% {light}%)"/>{text}</g>'


def _verbs(card: Card) -> list[tuple[str, Counter[str]]]:
    return sorted(card.wheel.items(), key=lambda pair: (-sum(pair[1].values()), pair[0]))[:VERBS]


def _title(card: Card, t: Words) -> str:
    sets = list(dict.fromkeys(str(task["name"]) for task in card.about["tasks"].values()))
    if len(sets) <= 3:
        return t(", ").join(sets)
    more = t.count(len(sets) - 3, "{n} more set", "{n} more sets")
    return t("{names} and {last}", names=t(", ").join(sets[:3]), last=more)


def _summary(card: Card, t: Words) -> str:
    asked = sum(n for level, n in card.about["rows"].items() if level not in ("train", "seen"))
    rows = t.count(card.rows, "{n} row", "{n} rows")
    if card.compared:
        rows = t.names([rows, t.count(card.compared, "{n} comparison", "{n} comparisons")])
    return t(
        "{rows} to train on, of {tasks} in {clusters}; {asked} held out. Format: {format}.",
        rows=rows,
        tasks=t.count(len(card.tasks), "{n} task", "{n} tasks"),
        clusters=t.count(len(card.clusters), "{n} cluster", "{n} clusters"),
        asked=t.count(asked, "{n} question", "{n} questions"),
        format=card.about["format"],
    )


def _held_out(card: Card, t: Words) -> list[str]:
    wish = card.about["held_out"]
    kinds = {"clusters": t("clusters"), "tasks": t("tasks"), "groups": t("groups"), "ids": t("ids")}
    said = [t("{kind}: {names}", kind=kind, names=t(", ").join(wish[key])) for key, kind in kinds.items() if wish[key]]
    if wish["wordings_per_task"]:
        said.append(t.count(int(wish["wordings_per_task"]), "{n} template of each task", "{n} templates of each task"))
    if wish["instance_fraction"]:
        said.append(t("{share} of the instances", share=percent(wish["instance_fraction"])))
    for task, names in wish["wordings"].items():
        said.append(t("templates of {task}: {names}", task=task, names=t(", ").join(names)))
    return said or [t("nothing")]


def _shares(counts: Counter[str], total: int, t: Words) -> list[tuple[str, str, str]]:
    return [(name or t("not stated"), f"{n:,}", percent(n / max(1, total))) for name, n in counts.most_common()]


def _bars(counts: Counter[str], total: int, t: Words, most: int = 30) -> Markup:
    rows = [
        Bar(
            name or t("not stated"),
            (Mark(n / total, n / total, n / total, "tuned", t.count(n, "{n} row", "{n} rows")),),
            "",
            f"{n:,}",
        )
        for name, n in counts.most_common(most)
    ]
    return bars(rows) if total else Markup()


def _histogram(counts: Counter[int], total: int, t: Words) -> Markup:
    names = range(min(counts), max(counts) + 1) if counts else ()
    rows = [
        Bar(_range(n, t), (Mark(counts[n] / total, counts[n] / total, counts[n] / total, "base", f"{counts[n]:,}"),))
        for n in names
    ]
    return bars([Bar(r.label, r.marks, "", percent(r.marks[0].value)) for r in rows]) if rows else Markup()


def _sources(card: Card) -> list[tuple[str, str, str, str]]:
    licence = {
        str(task["settings"].get("path", "")): task["settings"].get("licence", "")
        for task in card.about["tasks"].values()
    }
    return [
        (name, f"{about['bytes']:,}", about["sha256"][:16], licence.get(name) or "")
        for name, about in card.about["sources"].items()
    ]


def _power(count: int) -> int:
    return max(0, count).bit_length()


def _range(power: int, t: Words) -> str:
    low, high = (1 << power) >> 1, (1 << power) - 1
    return str(low) if low >= high else t("{low} to {high}", low=f"{low:,}", high=f"{high:,}")


def _bullets(lines: Sequence[str]) -> list[str]:
    return [f"- {line}" for line in lines]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return [line(head), line(["---"] * len(head)), *map(line, rows)]


@cache
def _words() -> dict[str, frozenset[str]]:
    found = shipped(Path(__file__).with_suffix(".yaml"))
    return {kind: frozenset(words) for kind, words in found.items()}
