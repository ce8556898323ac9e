"""Conversations and comparisons on disk: Parquet that ``datasets``, polars and DuckDB open as it is.

    write("train.parquet", rows)                 rows of one kind; whole or not at all
    for row in conversations("train.parquet"):   as a stream

A message is a struct with the names that chat templates use. What has no fixed shape (tools, the arguments of calls)
is kept as JSON, for Arrow would fill every field that another row has with nulls.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from tunesmith.core.errors import DataError
from tunesmith.core.types import Comparison, Conversation, Message, Source
from tunesmith.core.whole import whole

if TYPE_CHECKING:
    import pyarrow as pa

Row = TypeVar("Row")

GROUP_ROWS = 8192
"""Rows of a row group: what is held in memory while writing and reading."""

_TEXTS = ("id", "task", "cluster", "template", "language", "group", "metric", "licence")
_LISTS = ("answers", "options", "tags")
_TEXTS_COMPARED = ("id", "task", "cluster", "language", "group", "licence")


def write(path: Path, rows: Iterable[Conversation], extra: Mapping[str, Sequence[str]] | None = None) -> int:
    """Write conversations; how many there were. ``extra`` adds columns of texts."""
    return write_tables(path, _tables(rows, to_table, extra))


def write_comparisons(path: Path, rows: Iterable[Comparison], extra: Mapping[str, Sequence[str]] | None = None) -> int:
    """Write comparisons; how many there were. ``extra`` adds columns of texts."""
    return write_tables(path, _tables(rows, compared_table, extra))


def _tables(
    rows: Iterable[Row], table_of: Callable[[Sequence[Row]], pa.Table], extra: Mapping[str, Sequence[str]] | None
) -> Iterator[pa.Table]:
    """Tables of some rows each, with columns of texts; an empty one at least, so that the file has its columns."""
    import pyarrow

    columns = {name: iter(values) for name, values in (extra or {}).items()}
    stream = iter(rows)
    many = list(islice(stream, GROUP_ROWS))
    while True:
        table = table_of(many)
        for name, values in columns.items():
            table = table.append_column(name, pyarrow.array(list(islice(values, len(many))), pyarrow.string()))
        yield table
        if not (many := list(islice(stream, GROUP_ROWS))):
            return


def write_tables(path: Path, tables: Iterable[pa.Table]) -> int:
    """Write tables of one schema one after another. The file is there when it is whole."""
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None
    count = 0
    with whole(path) as part:
        try:
            for table in tables:
                if writer is None:
                    writer = pq.ParquetWriter(part, table.schema, compression="zstd")
                elif not table.num_rows:
                    continue
                writer.write_table(table)
                count += table.num_rows
        finally:
            if writer is not None:
                writer.close()
    return count


def is_one(path: Path) -> bool:
    """Whether a file is Parquet with conversations as they are written here."""
    import pyarrow.parquet as pq

    return path.suffix == ".parquet" and {"messages", "template", "source"} <= set(pq.read_schema(path).names)


def conversations(*paths: Path) -> Iterator[Conversation]:
    """The conversations of files, one after another."""
    for table in tables_of(*paths):
        yield from of_table(table)


def comparisons(*paths: Path) -> Iterator[Comparison]:
    """The comparisons of files, one after another."""
    for table in tables_of(*paths):
        yield from of_compared(table)


def tables_of(*paths: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """The row groups of files."""
    import pyarrow
    import pyarrow.parquet as pq

    for path in paths:
        try:
            file = pq.ParquetFile(path)
            for i in range(file.num_row_groups):
                yield file.read_row_group(i, columns=None if columns is None else list(columns))
        except (pyarrow.ArrowException, OSError) as error:
            raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None


def to_table(rows: Sequence[Conversation]) -> pa.Table:
    """Conversations as a table."""
    import pyarrow as pa

    texts = {name: pa.array([getattr(row, name) for row in rows], pa.string()) for name in _TEXTS}
    lists = {name: pa.array([list(getattr(row, name)) for row in rows], pa.list_(pa.string())) for name in _LISTS}
    return pa.table(
        {
            "id": texts.pop("id"),
            "messages": _messages([row.messages for row in rows]),
            **texts,
            **lists,
            "tools": pa.array([_json(row.tools) for row in rows], pa.string()),
            "checks": pa.array([_json(row.checks) for row in rows], pa.string()),
            "source": pa.array([str(row.source) for row in rows], pa.string()),
        }
    )


def of_table(table: pa.Table) -> Iterator[Conversation]:
    """The conversations of a table."""
    columns: dict[str, list[Any]] = {
        name: table.column(name).to_pylist() for name in (*_TEXTS, *_LISTS, "tools", "checks", "source")
    }
    messages = _of_messages(table.column("messages"))
    for i, said in enumerate(messages):
        values: dict[str, Any] = {name: columns[name][i] for name in _TEXTS}
        values |= {name: tuple(columns[name][i]) for name in _LISTS}
        values |= {name: _objects(columns[name][i]) for name in ("tools", "checks")}
        yield Conversation(said, source=Source.parse(columns["source"][i]), **values)


def compared_table(rows: Sequence[Comparison]) -> pa.Table:
    """Comparisons as a table."""
    import pyarrow as pa

    texts = {name: pa.array([getattr(row, name) for row in rows], pa.string()) for name in _TEXTS_COMPARED}
    offsets = [0]
    for row in rows:
        offsets.append(offsets[-1] + len(row.answers))
    inner = _messages([answer for row in rows for answer in row.answers])
    return pa.table(
        {
            "id": texts.pop("id"),
            "prompt": _messages([row.prompt for row in rows]),
            "answers": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), inner),
            "scores": pa.array([list(row.scores) for row in rows], pa.list_(pa.float64())),
            **texts,
            "tools": pa.array([_json(row.tools) for row in rows], pa.string()),
            "source": pa.array([str(row.source) for row in rows], pa.string()),
        }
    )


def of_compared(table: pa.Table) -> Iterator[Comparison]:
    """The comparisons of a table."""
    columns = {name: table.column(name).to_pylist() for name in (*_TEXTS_COMPARED, "scores", "tools", "source")}
    prompts = _of_messages(table.column("prompt"))
    answers = table.column("answers").combine_chunks()
    flat = _of_messages(answers.flatten())
    offsets = answers.offsets.to_pylist()
    for i, prompt in enumerate(prompts):
        yield Comparison(
            prompt,
            tuple(flat[offsets[i] - offsets[0] : offsets[i + 1] - offsets[0]]),
            tuple(columns["scores"][i]),
            tools=_objects(columns["tools"][i]),
            source=Source.parse(columns["source"][i]),
            **{name: columns[name][i] for name in _TEXTS_COMPARED},
        )


def _messages(many: Sequence[Sequence[Message]]) -> pa.ListArray:
    """Lists of messages, built column by column: several times as fast as from dictionaries."""
    import pyarrow as pa

    flat = [message for messages in many for message in messages]
    offsets = [0]
    for messages in many:
        offsets.append(offsets[-1] + len(messages))
    fields: dict[str, pa.Array] = {
        "role": pa.array([m.role for m in flat], pa.string()),
        "content": pa.array([m.content for m in flat], pa.string()),
        "reasoning_content": pa.array([m.reasoning_content for m in flat], pa.string()),
        "tool_calls": pa.array([_json(m.tool_calls) or None for m in flat], pa.string()),
        "tool_call_id": pa.array([m.tool_call_id for m in flat], pa.string()),
        "name": pa.array([m.name for m in flat], pa.string()),
        "learn": pa.array([m.learn for m in flat], pa.bool_()),
    }
    struct = pa.StructArray.from_arrays(list(fields.values()), names=list(fields))
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), struct)


def _of_messages(column: pa.ChunkedArray | pa.ListArray) -> list[tuple[Message, ...]]:
    import pyarrow as pa

    lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(lists, pa.ChunkedArray):
        lists = pa.concat_arrays(lists.chunks)
    struct = lists.flatten()
    names = [struct.type.field(i).name for i in range(struct.type.num_fields)]
    columns = {name: struct.field(name).to_pylist() for name in names}
    flat = [
        Message(role, content, reasoning, tuple(json.loads(calls)) if calls else (), call_id, name, learn)
        for role, content, reasoning, calls, call_id, name, learn in zip(
            *(
                columns[key]
                for key in ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name", "learn")
            ),
            strict=True,
        )
    ]
    offsets = lists.offsets.to_pylist()
    return [tuple(flat[a - offsets[0] : b - offsets[0]]) for a, b in pairwise(offsets)]


def _json(value: Sequence[Any]) -> str:
    return json.dumps(list(value), ensure_ascii=False) if value else ""


def _objects(text: str) -> tuple[Any, ...]:
    return tuple(json.loads(text)) if text else ()
