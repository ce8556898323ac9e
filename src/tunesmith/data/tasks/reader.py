"""What a reader is: the part that knows the shape of the rows of a source.

A task names its reader and gives it the keys that the reader asks for. Out comes, for every row,

    Record          fields of a labelled row, which the templates of the task put into words
    Conversation    a row that is in words already
    Comparison      a prompt with answers of which some are better
    SetAside        a row that cannot be used, with file, line and reason

Most readers are a function of one row of a file; what kind of file it is, and that it is read as a stream, is not
their business. A new source of data is a function that registers itself, and says which rows it knows by sight:

    @row_reader("alpaca", sign=has("instruction", "output"))
    def alpaca(row: Mapping[str, Any], task: Task) -> Iterator[Found]: ...

It raises ``Unusable`` with the reason where a row cannot be used. A source that is no file registers with ``reader``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from tunesmith.core.errors import DataError, TunesmithError
from tunesmith.core.registry import Registry
from tunesmith.core.types import NOWHERE, Comparison, Conversation, SetAside, Source
from tunesmith.data.files import Piece, Row, pieces
from tunesmith.data.tasks import contract as border
from tunesmith.data.tasks import media, placeholders

if TYPE_CHECKING:
    from tunesmith.data.tasks.task import Task

Value = str | tuple[str, ...]
"""A field of a record: a text, or several (alternative answers, options to choose among)."""


class Unusable(DataError):
    """A row cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """One labelled row as it was found, before it becomes an ``Example`` of a task."""

    id: str
    """Unique in its task and the same tomorrow, for what is held out is held out by it."""
    fields: Mapping[str, Value]
    group: str = ""
    """What must not be split between training and test. Default: the task (without language) and the id."""
    source: Source = NOWHERE
    raw: Mapping[str, Any] = field(default_factory=dict)
    """The row as it was, where the task's templates compute with it."""


Found = Record | Conversation | Comparison | SetAside
Said = TypeVar("Said", bound=Conversation | Comparison)
OfRow = Callable[[Any, "Task"], Iterator[Found]]


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the task file that a reader asks for."""

    kind: Literal["text", "path", "map"]
    """``path`` is relative to the task file and must exist; ``map`` is a mapping of texts to texts."""
    required: bool = True


@dataclass(frozen=True, slots=True)
class Sign:
    """By what rows are known at sight."""

    fits: Callable[[Any], bool]
    """Whether one row has the shape."""
    says: str
    """The shape in words: "objects with `instruction` and `output`"."""
    weight: int
    """How much it says; of several readers that fit, the one with the most is meant."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A way to read the rows of a task, and the keys of the task file that are its own."""

    read: Callable[[Task], Iterator[Found]]
    keys: Mapping[str, Key] = field(default_factory=dict)
    gives: Literal["records", "words"] = "records"
    """Labelled fields that need templates, or rows in words."""
    sign: Sign | None = None
    kind: str | None = None
    """How files are read, where their name would say something else."""
    of_piece: Callable[[Piece, Task], Iterator[Found]] | None = None
    """For files: the rows of one piece, by itself, so that many workers can share a file."""


READERS: Registry[Reader] = Registry("Reader", room="data")

FILE_KEYS: dict[str, Key] = {
    "path": Key("path"),
    "licence": Key("text", required=False),
    # For rows of the shape that a reader knows, under other names: {messages: data.dialogue}
    "fields": Key("map", required=False),
    # Where the rows are, if they are a list inside of what the file holds: `examples`, or deeper, `data.train`
    "rows": Key("text", required=False),
}

FILL = Key("map", required=False)
"""What stands in placeholders of rows in words: {name: Ada, author: the lab}."""


def reader(
    name: str, keys: Mapping[str, Key]
) -> Callable[[Callable[[Task], Iterator[Found]]], Callable[[Task], Iterator[Found]]]:
    """Register a function that finds the rows of a task by itself."""

    def register(read: Callable[[Task], Iterator[Found]]) -> Callable[[Task], Iterator[Found]]:
        READERS.add(name, read.__module__)(Reader(read, dict(keys)))
        return read

    return register


def row_reader(
    name: str,
    *,
    keys: Mapping[str, Key] | None = None,
    gives: Literal["records", "words"] = "words",
    sign: Sign | None = None,
    kind: str | None = None,
) -> Callable[[OfRow], OfRow]:
    """Register a function of one row of a file."""

    def register(of_row: OfRow) -> OfRow:
        def of_piece(piece: Piece, task: Task) -> Iterator[Found]:
            # A reader that asks for `fields` itself makes its own use of them.
            names = {} if "fields" in (keys or {}) else task.settings.get("fields", {})
            for row in _inside(piece.rows(), task.settings.get("rows", "")):
                if isinstance(row, SetAside):
                    yield row
                else:
                    yield from _found(of_row, row, task, names, gives == "words")

        def read(task: Task) -> Iterator[Found]:
            for piece in pieces(task.settings["path"], kind):
                yield from of_piece(piece, task)

        own = {**FILE_KEYS, **({"fill": FILL} if gives == "words" else {}), **(keys or {})}
        READERS.add(name, of_row.__module__)(Reader(read, own, gives, sign, kind, of_piece))
        return of_row

    return register


def has(*keys: str, weight: int | None = None, any_of: Sequence[str] = (), without: Sequence[str] = ()) -> Sign:
    """Known by keys: all of ``keys``, one of ``any_of``, and none of ``without``."""

    def fits(value: Any) -> bool:
        return (
            isinstance(value, Mapping)
            and all(value.get(key) is not None for key in keys)
            and (not any_of or any(value.get(key) is not None for key in any_of))
            and not any(key in value for key in without)
        )

    names = [*keys, *([" or ".join(f"`{key}`" for key in any_of)] if any_of else [])]
    says = "objects with " + " and ".join(name if "`" in name else f"`{name}`" for name in names)
    return Sign(fits, says, len(keys) + bool(any_of) if weight is None else weight)


def column(row: Mapping[str, Any], name: str) -> Any:
    """What stands under a name; ``answers.text`` looks into a nested object."""
    if name in row:
        return row[name]
    here: Any = row
    for part in name.split("."):
        if not isinstance(here, Mapping) or part not in here:
            return None
        here = here[part]
    return here


def _inside(rows: Iterator[Row | SetAside], path: str) -> Iterator[Row | SetAside]:
    """The rows; or those of the list that each of them holds."""
    for row in rows:
        if not path or isinstance(row, SetAside):
            yield row
            continue
        inner = column(row.value, path) if isinstance(row.value, Mapping) else None
        if isinstance(inner, list):
            place = str(row.source)
            yield from (Row(value, Source(place, item=i)) for i, value in enumerate(inner, 1))
        else:
            reason = f"has no list under `{path}`, where the task's `rows` looks for rows"
            yield SetAside(str(row.source), reason, row.source)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """A row with what stands under other names, or deeper in it, under the names that its reader knows."""
    if not names or not isinstance(value, Mapping):
        return value
    out = dict(value)
    for name, own in names.items():
        found = column(value, own)
        if found is None:
            raise Unusable(f"has no `{own}`, which the task's `fields` takes for `{name}`")
        out[name] = found
    return out


def _found(of_row: OfRow, row: Row, task: Task, names: Mapping[str, str], in_words: bool) -> Iterator[Found]:
    """What a row gives, with its source; or why it gives nothing."""
    source = row.source
    try:
        value = _renamed(row.value, names)
        if in_words and (reason := media.in_columns(value)):
            raise Unusable(reason)
        for found in of_row(value, task):
            if isinstance(found, SetAside):
                yield replace(found, source=source, row=found.row or str(source))
            else:
                whole = found if isinstance(found, Record) else _learnable(found, task)
                if reason := border.fault(whole):
                    raise Unusable(reason)
                yield replace(whole, source=source)
    except Unusable as error:
        yield SetAside(str(source), str(error), source)
    except RecursionError:
        yield SetAside(str(source), "is nested too deeply", source)
    except (TunesmithError, MemoryError):
        raise
    except Exception as error:
        # A reader that somebody has added may not expect every value. That costs the row, not the build.
        reason = f"the reader {task.reader!r} cannot read it: {type(error).__name__}: {error}"
        yield SetAside(str(source), reason, source)


def _learnable(row: Said, task: Task) -> Said:
    """A row in words with its placeholders filled. What is no text, and what nobody has filled, is not learned."""
    full = placeholders.filled(row, task.settings.get("fill") or {})
    asked = full.messages if isinstance(full, Conversation) else full.prompt
    said = () if isinstance(full, Conversation) else (m for answer in full.answers for m in answer)
    for message in asked:
        if message.role == "user" and (reason := media.in_text(message.content)):
            raise Unusable(reason)
    if reason := placeholders.unfilled((*asked, *said)):
        raise Unusable(reason)
    return full
