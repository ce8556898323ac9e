"""What ``pretrain`` and ``sft`` share: from encoded rows and settings to a model folder.

The training room sees numbers only; this is where texts and conversations become token stores, with a name for every
row, so that an error during training can say which record it was.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from tunesmith.core.errors import DataError, TemplateRefused, counted
from tunesmith.core.types import Conversation, EncodedMany
from tunesmith.core.whole import write_json
from tunesmith.plan import TokenStore
from tunesmith.stages.ranks import folder_of
from tunesmith.stages.samples import sampler
from tunesmith.stages.stage import Job
from tunesmith.stages.state import damaged, written
from tunesmith.train.settings import TrainSettings

if TYPE_CHECKING:
    from tunesmith.chat import ChatFormat
    from tunesmith.models.load import ModelSource


def open_format(folder: Path, chat: str | None = None) -> ChatFormat:
    """The chat format of a model or tokenizer folder, or a named one put on its tokenizer."""
    from tunesmith.chat import ChatFormat
    from tunesmith.models.tokenizer import load_tokenizer

    tok = load_tokenizer(folder)
    if chat:
        return ChatFormat.named(chat, tok)
    if tok.chat_template is None:
        raise TemplateRefused(f"The tokenizer of {folder} carries no chat template. Give it one of ours: chat: chatml")
    return ChatFormat.from_tokenizer(tok)


def chat_format(job: Job, base: Path, chat: str | None) -> tuple[ChatFormat, Path, list[int]]:
    """The format to tune a base in, the folder of its tokenizer, and the tokens that are new to the base. A base that
    brings no chat template is given one of ours; an encoder-decoder takes pairs of a question and an answer."""
    from tunesmith.models.tokenizer import load_tokenizer

    if chat is None and is_pair(base) and load_tokenizer(base).chat_template is None:
        chat = "pair"
    if chat is None:
        return open_format(base), base, []
    known = set(load_tokenizer(base).get_vocab().values())
    fmt = open_format(base, chat)
    folder = job.out / "tokenizer"
    fmt.tok.save_pretrained(folder)
    return fmt, folder, sorted(set(fmt.tok.get_vocab().values()) - known)


def tokenizer_of(job: Job, name: str) -> Path | None:
    """The folder with the tokenizer that a stage's model has or will have, as far as it is there already."""
    while name in job.stages:
        if name in job.history:
            return model_folder(job.folder(name))
        stage = job.stages[name]
        above = getattr(stage, "tokenizer", None) or getattr(stage, "model", None)
        if not isinstance(above, str):
            return None
        name = above
    folder = job.folder(name)
    return folder if folder.is_dir() else None


def length_in(folder: Path) -> Callable[[str], int]:
    """How many tokens a text has, by the tokenizer of a folder."""
    from tunesmith.models.tokenizer import load_tokenizer

    tok: Any = load_tokenizer(folder)
    return lambda text: len(tok.encode(text, add_special_tokens=False))


def is_pair(model: Path) -> bool:
    """Whether a model has an encoder and a decoder."""
    from tunesmith.models.load import load_config

    return bool(load_config(model).is_encoder_decoder)


def model_folder(stage: Path) -> Path:
    """Where the model of a training stage lies; a folder that is a model itself is one."""
    inner = stage / "model"
    return inner if inner.is_dir() else stage


def text_store(job: Job, fmt: ChatFormat, texts: Sequence[str], row_length: int) -> TokenStore:
    """Encode plain texts; one that is longer than a row is told, not cut."""
    encoded = fmt.encode_texts(texts)
    _check_length(encoded, row_length, "texts")
    return TokenStore.write(job.out / "tokens" / "text", encoded, [f"text {i + 1}" for i in range(len(texts))])


def conversation_stores(
    job: Job, fmt: ChatFormat, conversations: Iterable[Conversation], row_length: int
) -> tuple[dict[str, TokenStore], int]:
    """Encode conversations, a store for each task; also how many rows were set aside for their length. What an earlier
    run has encoded from the same rows is used: another mixture, rate or number of steps encodes nothing."""
    by_task: dict[str, list[Conversation]] = {}
    for conversation in conversations:
        by_task.setdefault(conversation.task, []).append(conversation)
    cache = job.out.parent / CACHE
    stores, aside, most, used, fresh = {}, 0, 0, [], 0
    format = fmt.fingerprint()
    for task, group in sorted(by_task.items()):
        name = f"{task}-{_key(format, row_length, group)}"
        used.append(name)
        about = cache / f"{name}.json"
        if _encoded(cache, name) is None:
            fresh += len(group)
            encoded = fmt.encode_many(group, max_length=row_length)
            wrong = [row for row in encoded.set_aside if not _TOO_LONG.match(row.reason)]
            if wrong:
                raise DataError(
                    f"{len(wrong)} rows of {task} cannot be encoded. The first: {wrong[0].row}: {wrong[0].reason}"
                )
            if len(encoded):
                shutil.rmtree(cache / name, ignore_errors=True)
                TokenStore.write(cache / name, encoded, [conversation.id for conversation in group])
            longest = max((int(row.reason.split()[0]) for row in encoded.set_aside), default=0)
            counts = {"rows": len(encoded), "too_long": len(encoded.set_aside), "longest": longest}
            write_json(about, {**counts, "files": written(cache / name)})
        counts = json.loads(about.read_text(encoding="utf-8"))
        aside += counts["too_long"]
        most = max(most, counts.get("longest", 0))
        if counts["rows"]:
            stores[task] = TokenStore.open(cache / name)
    if fresh < sum(map(len, by_task.values())):
        job.step(f"{fresh:,} rows encoded, the others were before")
    if aside:
        every = counted(sum(map(len, by_task.values())), "row")
        job.step(
            f"[yellow]{aside:,} of {every} left out: longer than row_length = {row_length} tokens, the longest "
            f"{most:,}. Raise train.row_length to use them[/]"
        )
    write_json(job.out / USED, used)
    _forget(cache, job.out.parent)
    return stores, aside


def _encoded(cache: Path, name: str) -> Mapping[str, Any] | None:
    """What is known of rows that were encoded before; None where they were not, or their files have changed."""
    try:
        about: dict[str, Any] = json.loads((cache / f"{name}.json").read_text(encoding="utf-8"))
        return about if damaged(cache / name, about, large=True) is None else None
    except (OSError, ValueError, KeyError):
        return None


_TOO_LONG = re.compile(r"(\d+) tokens, more than")
"""How the reason of a row begins that is set aside for its length."""
CACHE = ".tokens"
"""Beside the stages: what they have encoded."""
USED = "tokens.json"
"""In each stage: which of it."""


def _key(format: str, row_length: int, group: Sequence[Conversation]) -> str:
    """Another row, order, format or length is another key."""
    found = hashlib.blake2b(f"{format}|{row_length}".encode(), digest_size=12)
    for row in group:
        found.update(repr((row.id, row.messages, row.tools)).encode("utf-8", "surrogatepass"))
    return found.hexdigest()


def _forget(cache: Path, stages: Path) -> None:
    """Take away what no stage uses any more."""
    used = {name for path in stages.glob(f"*/{USED}") for name in json.loads(path.read_text(encoding="utf-8"))}
    for path in cache.iterdir():
        if path.name.removesuffix(".json") not in used and not path.name.startswith("."):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def in_steps(
    job: Job,
    settings: TrainSettings,
    objective: str,
    sources: Mapping[str, TokenStore],
    shares: Mapping[str, float],
    besides: Sequence[str] = (),
) -> TrainSettings:
    """The settings with a number of steps, told where it follows from a number of epochs."""
    from tunesmith.train import epochs

    found = epochs.in_steps(settings, objective, sources, shares, besides)
    if settings.epochs is not None:
        job.step(f"{settings.epochs:g} epochs: {found.steps:,} steps of about {found.batch_tokens:,} tokens")
    return found


def fit(
    job: Job,
    model: ModelSource,
    objective: str,
    sources: Mapping[str, TokenStore],
    shares: Mapping[str, float],
    settings: TrainSettings,
    tokenizer: Path,
    fmt: ChatFormat,
    new_ids: Sequence[int] = (),
    groups: Mapping[str, str] | None = None,
    samples: Sequence[str] = (),
) -> dict[str, Any]:
    """Train, and say what was trained. ``samples`` are prompts that are answered at each checkpoint."""
    from tunesmith.train.loop import train

    if "seed" not in settings.model_fields_set:
        settings = settings.model_copy(update={"seed": job.seed})
    tokens = sum(store.tokens for store in sources.values())
    job.step(f"{sum(map(len, sources.values())):,} documents, {tokens:,} tokens, {settings.steps} steps")
    call: dict[str, Any] = {
        "model": model,
        "objective": objective,
        "shares": dict(shares),
        "out_dir": str(job.out),
        "tokenizer_dir": str(tokenizer),
        "stop_ids": sorted(fmt.stop_ids),
        "new_ids": list(new_ids),
        "groups": dict(groups or {}),
    }
    if job.calls:
        folders = {name: folder_of(store) for name, store in sources.items()}
        job.calls.make({**call, "sources": folders, "settings": settings.model_dump(mode="json")})
    result = train(
        **call,
        sources=sources,
        settings=settings,
        on_save=sampler(fmt, samples, job.out),
        progress=not job.console.quiet,
    )
    shutil.rmtree(job.out / "checkpoints", ignore_errors=True)  # the model is whole; nothing is left to go on from
    for name, count in result.left_out.items():
        if count:
            job.step(f"[yellow]{counted(count, 'document')} of {escape(name)} left out: nothing in them is learned[/]")
    speed, padding = f"{result.tokens_per_second:,.0f} tokens/s", f"{100 * result.padding:.1f} % of the work on padding"
    job.step(f"loss {result.loss:.3f}, {speed}, {padding}")
    return {
        "steps": result.steps,
        "loss": result.loss,
        "tokens": result.tokens,
        "tokens_per_second": result.tokens_per_second,
        "padding": result.padding,
        "precision": result.precision,
        "resumed_from": result.resumed_from,
        "realised": dict(result.realised),
        "documents": result.documents,
        "left_out": dict(result.left_out),
    }


def _check_length(encoded: EncodedMany, row_length: int, what: str) -> None:
    longer = int((encoded.lengths > row_length).sum())
    if longer:
        raise DataError(
            f"{longer} of {len(encoded)} {what} have more than row_length = {row_length} tokens (longest "
            f"{int(encoded.lengths.max())}). Raise train.row_length, or split them."
        )
