"""Running a recipe: each stage once, and again only when something that it depends on has changed.

In goes a checked ``Recipe``; out come folders ``runs/<name>/<stage>/``. A stage's key is a hash of all that its result
depends on: its settings, the seed, the keys of the stages it reads, the code of the rooms it uses, and the digests
of the user's files. ``stage.json`` holds the key and is written last, so a folder that has it is whole;
``started.json`` is written first, so a killed stage is known and can go on where its own checkpoints allow.
See docs/design/stages.md.
"""

from __future__ import annotations

import gc
import hashlib
import shutil
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from tunesmith.core import plugins
from tunesmith.core.cores import choose_waiting
from tunesmith.core.document import Document, Problem
from tunesmith.core.errors import RecipeError, UnknownName
from tunesmith.core.lock import run_lock
from tunesmith.core.machine import machine, peak_mb, reset_peak
from tunesmith.core.malloc import give_back_memory
from tunesmith.core.screen import clock
from tunesmith.core.screen import console as new_console
from tunesmith.core.whole import write_json
from tunesmith.pipeline.recipe import Recipe, needed, references
from tunesmith.stages import state as state_of
from tunesmith.stages.hub import place
from tunesmith.stages.ranks import Calls, leads, many
from tunesmith.stages.stage import Job, Stage
from tunesmith.stages.state import DONE, STARTED, check_inputs, damaged, digest, finish, read_state, started

RUN = "stages.json"
PACKAGE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Ran:
    """What happened to one stage."""

    id: str
    reused: bool
    seconds: float
    peak_mb: float


@dataclass(frozen=True)
class RunResult:
    """What happened to a recipe."""

    folder: Path
    stages: tuple[Ran, ...]
    seconds: float


def run(
    recipe: Recipe,
    *,
    folder: Path | None = None,
    only: Collection[str] | None = None,
    again: Collection[str] = (),
    console: Console | None = None,
) -> RunResult:
    """Run what is not done yet. ``only`` names the stages wanted (with what they read); ``again`` forces some."""
    choose_waiting()
    console = console or new_console()
    folder = folder or Path("runs") / recipe.name
    wanted = _wanted(recipe, only)
    for name in again:
        if name not in recipe.stages:
            raise UnknownName("Stage", name, recipe.stages)
    start = time.monotonic()
    calls = Calls(folder) if many() else None
    if calls and not leads():
        calls.follow()
        return RunResult(folder, (), time.monotonic() - start)
    ran: list[Ran] = []
    done: dict[str, dict[str, Any]] = {}
    kept: set[str] = set()  # the stages that an earlier run has finished
    for id in wanted:  # before anything runs, so that a file edited meanwhile is not taken for the code that ran
        code_of(recipe.stages[id])
    for id, note in foreseen(recipe, folder, wanted):
        console.print(f"{id}: {escape(note)}", style="dim", highlight=False)
    with run_lock(folder):
        write_json(folder / RUN, _run_info(recipe, folder))
        for number, id in enumerate(wanted, 1):
            stage = recipe.stages[id]
            out = folder / id
            parts = key_parts(recipe, id, {name: done[name]["key"] for name in done})
            key = digest(parts)
            state = read_state(out)
            label = f"[bold]\\[{number}/{len(wanted)}] {id}[/]"
            reason = "asked to run again" if id in again else why_not_done(state, key, parts, out)
            if reason is None:
                assert state is not None
                console.print(f"{label} [green]done before[/] ({clock(state['seconds'])})", highlight=False)
                done[id] = state
                kept.add(id)
                ran.append(Ran(id, True, float(state["seconds"]), float(state["peak_mb"])))
                continue
            what = "" if stage.kind == id else f" [cyan]{stage.kind}[/]"
            console.print(f"{label}{what} [dim]{reason}[/]", highlight=False)
            _prepare(out, key, fresh=id in again)
            inputs = {name: where for name, where in _inputs(recipe, id, folder).items() if _there(name, recipe, done)}
            check_inputs({name: folder / name for name in inputs if name in kept}, id)
            job = Job(id, out, recipe.seed, inputs, console, recipe.stages, dict(done), calls)
            gc.collect()
            give_back_memory()  # of earlier stages, so that peaks do not add up
            reset_peak()
            began = time.monotonic()
            info = stage.run(job)
            seconds = time.monotonic() - began
            done[id] = finish(
                out,
                {
                    "stage": id,
                    "kind": stage.kind,
                    "key": key,
                    "seconds": round(seconds, 2),
                    "peak_mb": round(peak_mb(), 1),
                    "info": dict(info),
                    "parts": parts,
                },
            )
            ran.append(Ran(id, False, seconds, float(done[id]["peak_mb"])))
            console.print(
                f"      [green]done[/] in {clock(seconds)}, peak {done[id]['peak_mb']:.0f} MB, "
                f"{clock(time.monotonic() - start)} so far",
                highlight=False,
            )
            write_json(folder / RUN, _run_info(recipe, folder))
        if calls:
            calls.end()
    return RunResult(folder, tuple(ran), time.monotonic() - start)


def _inputs(recipe: Recipe, id: str, folder: Path) -> dict[str, Path]:
    """The folder of everything that a stage refers to."""
    names = [name for _, name, _ in references(recipe.stages[id])]
    return {name: folder / name if name in recipe.stages else place(name) for name in names}


def _there(name: str, recipe: Recipe, done: Collection[str]) -> bool:
    return name not in recipe.stages or name in done


def foreseen(
    recipe: Recipe, folder: Path | None = None, wanted: Collection[str] | None = None
) -> list[tuple[str, str]]:
    """What stages that are not done say before they run, or one ``RecipeError`` with all that is sure to fail."""
    folder = folder or Path("runs") / recipe.name
    notes: list[tuple[str, str]] = []
    problems: list[Problem] = []
    history: dict[str, dict[str, Any]] = {}
    keys: dict[str, str] = {}
    for id in wanted if wanted is not None else recipe.stages:
        parts = key_parts(recipe, id, keys)
        keys[id] = digest(parts)
        state = read_state(folder / id)
        if state is not None and why_not_done(state, keys[id], parts, folder / id) is None:
            history[id] = state
            continue
        inputs = {name: where for name, where in _inputs(recipe, id, folder).items() if _there(name, recipe, history)}
        job = Job(id, folder / id, recipe.seed, inputs, Console(quiet=True), recipe.stages, dict(history))
        for found in recipe.stages[id].foresee(job):
            if isinstance(found, Problem):
                problems.append(Problem(("stages", id, *found.where), found.what))
            else:
                notes.append((id, found))
    if problems:
        raise RecipeError(Document.read(recipe.text, recipe.file).report(problems))
    return notes


@dataclass(frozen=True)
class Outlook:
    """What would happen to a stage."""

    id: str
    state: str


def outlook(recipe: Recipe, *, folder: Path | None = None) -> list[Outlook]:
    """What ``run`` would do, without doing it."""
    folder = folder or Path("runs") / recipe.name
    keys: dict[str, str] = {}
    rows = []
    for id in recipe.stages:
        parts = key_parts(recipe, id, keys)
        keys[id] = digest(parts)
        state = read_state(folder / id)
        reason = why_not_done(state, keys[id], parts, folder / id)
        if reason is None:
            assert state is not None
            rows.append(Outlook(id, f"done before ({clock(state['seconds'])})"))
        else:
            rows.append(Outlook(id, reason or "to run"))
    return rows


def _wanted(recipe: Recipe, only: Collection[str] | None) -> list[str]:
    """The stages to run, in order: all, or those named and everything that they read."""
    for name in only or ():
        if name not in recipe.stages:
            raise UnknownName("Stage", name, recipe.stages)
    if only is None:
        return list(recipe.stages)
    return needed({id: [name for _, name, _ in references(stage)] for id, stage in recipe.stages.items()}, only)


# -- keys --------------------------------------------------------------------------------------------------------------


def key_parts(recipe: Recipe, id: str, keys: Mapping[str, str]) -> dict[str, Any]:
    """Everything that the result of a stage depends on, by name, so that a change can be told in words."""
    stage = recipe.stages[id]
    settings = stage.model_dump(mode="json", exclude=set(stage.unkeyed))
    inputs: dict[str, str] = {}
    for _, name, _ in references(stage):
        if name in recipe.stages:
            if name in keys:
                inputs[name] = keys[name]
        else:
            inputs[name] = digest_folder(place(name))
    return {
        "seed": recipe.seed,
        "settings": _flat(settings),
        "inputs": inputs,
        "code": code_of(stage),
        "files": {str(path): digest_file(path) for path in stage.files()},
    }


def code_of(stage: Stage) -> dict[str, str]:
    """The code that the result of a stage depends on, by digest: rooms and files of the package, the file of the stage
    itself, and the plug-ins that have registered something for one of the rooms."""
    module = type(stage).__module__
    ours = module.partition(".")[0] == plugins.OWN
    own = (module.removeprefix(f"{plugins.OWN}.").replace(".", "/") + ".py",) if ours else ()
    found = {room: digest_code(room) for room in (*own, "core/types.py", *stage.rooms)}
    return found | plugins.digests(stage.rooms, module)


def _flat(value: Any, above: str = "") -> dict[str, Any]:
    """Nested settings as dotted names, so that two of them can be compared name by name."""
    if isinstance(value, dict) and value:
        out: dict[str, Any] = {}
        for key, item in value.items():
            out |= _flat(item, f"{above}.{key}" if above else str(key))
        return out
    return {above: value}


def digest_file(path: Path) -> str:
    """A hash of a user's file; a large one (a model's weights) goes by size and time of change."""
    try:
        stat = path.stat()
    except OSError as error:
        raise RecipeError(f"The recipe reads {path}, which cannot be read: {error.strerror}.") from None
    if stat.st_size > 256 * 1024 * 1024:
        return f"{stat.st_size} bytes of {stat.st_mtime_ns}"
    return state_of.digest_file(path)


def digest_folder(folder: Path) -> str:
    """A hash of the files of a folder that is not a stage."""
    return digest({file.name: digest_file(file) for file in sorted(folder.iterdir()) if file.is_file()})


@cache
def digest_code(room: str) -> str:
    """A hash of the code (and data files) of one room of the package, or of one file of it."""
    place = PACKAGE / room
    files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
    hashed = hashlib.sha256()
    for file in files:
        if file.suffix in plugins.CODE:
            hashed.update(str(file.relative_to(PACKAGE)).encode())
            hashed.update(hashlib.sha256(file.read_bytes()).digest())
    return hashed.hexdigest()


# -- state on disk -----------------------------------------------------------------------------------------------------


def why_not_done(state: Mapping[str, Any] | None, key: str, parts: Mapping[str, Any], out: Path) -> str | None:
    """Why a stage has to run, in words; None where it is done."""
    if state is None:
        begun = started(out)
        if begun is None:
            return ""
        return "goes on" if begun == key else "starts again"
    if state["key"] != key:
        return "again: " + _difference(state.get("parts", {}), parts)
    bad = damaged(out, state, large=False)
    return f"again: {bad} is gone, or its content has changed" if bad is not None else None


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    changes: list[str] = []
    for part in ("settings", "inputs", "code", "files"):
        before, after = old.get(part, {}), new[part]
        for name in sorted({*before, *after}):
            if before.get(name) == after.get(name):
                continue
            if part == "settings":
                changes.append(f"{name} was {before.get(name)!r}, is {after.get(name)!r}")
            elif part == "inputs":
                changes.append(f"{name} changed")
            elif part == "code":
                changes.append(f"the code of {name} changed")
            else:
                changes.append(f"the file {name} changed")
    if old.get("seed") != new["seed"]:
        changes.append(f"seed was {old.get('seed')}, is {new['seed']}")
    more = f" and {len(changes) - 3} more" if len(changes) > 3 else ""
    return "; ".join(changes[:3]) + more


def _prepare(out: Path, key: str, fresh: bool) -> None:
    """An empty folder, or the one that a killed run with the same key has left."""
    if out.exists():
        ours = (out / DONE).exists() or (out / STARTED).exists()
        if not ours and any(out.iterdir()):
            raise RecipeError(
                f"{out} holds files that are no stage's output, and would be overwritten. "
                f"Move them away, or give another folder with --out."
            )
        if fresh or (out / DONE).exists() or started(out) != key:
            shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / STARTED, {"key": key})


def _run_info(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """What ``stages.json`` says: the recipe as it was read, and every stage that is finished on disk."""
    finished = {id: state for id in recipe.stages if (state := read_state(folder / id)) is not None}
    return {
        "recipe": recipe.name,
        "seed": recipe.seed,
        "file": recipe.file,
        "result": recipe.result,
        "machine": machine(),
        "stages": {
            id: {name: state[name] for name in ("kind", "key", "seconds", "peak_mb", "info")}
            for id, state in finished.items()
        },
        "settings": {id: stage.model_dump(mode="json") for id, stage in recipe.stages.items()},
        "text": recipe.text,
    }
