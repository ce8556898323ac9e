"""Plug-ins: code from outside the package that registers readers, metrics, objectives and the like.

A plug-in is a Python module that registers something when it is imported. There are two ways to have it imported:

    [project.entry-points."tunesmith.plugins"]      installed: every entry point of this group is a plug-in
    words = "my_package.words"

    plugins: [my_package.words, my_metric.py]       named: by a recipe, or with --plugin on the command line

Installed plug-ins are imported when a name is looked up that the package itself does not know, so they cost nothing
before. ``Registry`` writes down which module registered for which room of the package. So a stage can say which code
from outside it depends on (``digests``), and another process can import the same modules (``modules``, ``again``).
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from secrets import token_hex
from types import ModuleType

from tunesmith.core.errors import PluginError, TunesmithError

GROUP = "tunesmith.plugins"
"""The group of entry points."""
OWN = "tunesmith"
"""The package whose own modules are no plug-ins."""
SCRIPT = "__main__"
CODE = frozenset({".py", ".yaml", ".jinja", ".html", ".css", ".js", ".txt"})
"""Files that count as code when a module or a room is hashed."""
_FROM_FILE = "tunesmith_plugin_"
"""How the module of a plug-in is called that is one file."""

_rooms: dict[str, set[str]] = {}
"""Module from outside -> the rooms that it has registered something for."""
_digests: dict[str, str] = {}
_looked = False
_failed: PluginError | None = None
"""Why an installed plug-in cannot be imported: it is told each time, until the program ends."""


@dataclass(frozen=True, slots=True)
class Outside:
    """A module from outside, as another process needs to know it."""

    name: str
    file: str
    """The file of a plug-in that is one file; "" where the name can be imported."""
    digest: str
    """Of its code: whoever keeps results by what they came from sees that it has changed."""


def load(names: Iterable[str]) -> None:
    """Import plug-ins that somebody has named: a module, or a file that ends with .py."""
    for name in names:
        _load_file(Path(name).expanduser()) if name.endswith(".py") else _load_module(name)


def load_installed() -> None:
    """Import every entry point of the group, once."""
    global _looked, _failed
    if _failed:
        raise _failed
    if _looked:
        return
    _looked = True
    for point in sorted(metadata.entry_points(group=GROUP), key=lambda point: (point.name, point.value)):
        package = point.dist.name if point.dist else "a package"
        try:
            point.load()
        except Exception as error:
            why = str(error) if isinstance(error, TunesmithError) else f"{_first_line(error)}."
            _failed = PluginError(
                f"The plug-in {point.name!r} ({point.value}) of {package} cannot be imported: {why} Repair it, or "
                f"uninstall it: pip uninstall {package}"
            )
            raise _failed from error


def note(module: str, room: str) -> None:
    """Write down that a module has registered something for a room."""
    if module.partition(".")[0] != OWN:
        _rooms.setdefault(module, set()).add(room)
        if not _file(module):  # typed into a notebook: no file tells whether the code has changed, so it counts as new
            _digests[module] = token_hex(16)


def modules(rooms: Collection[str]) -> tuple[Outside, ...]:
    """The modules from outside that have registered something for one of these rooms."""
    names = sorted(name for name, noted in _rooms.items() if noted & set(rooms))
    return tuple(Outside(name, _file(name) if name.startswith(_FROM_FILE) else "", _digest(name)) for name in names)


def again(known: Iterable[Outside]) -> None:
    """Import in this process what another one has imported. The script itself is the start method's business."""
    for module in known:
        if module.name in sys.modules or module.name == SCRIPT:
            continue
        _load_file(Path(module.file)) if module.file else _load_module(module.name)


def typed_in(known: Iterable[Outside]) -> bool:
    """Whether one of these stands in no file, as in a notebook or at a prompt: no other process can import it."""
    return any(module.name == SCRIPT for module in known) and not _file(SCRIPT)


def digests(rooms: Collection[str], own: str = "") -> dict[str, str]:
    """The code from outside that a result depends on: of the modules that have registered something for these rooms,
    and of the module ``own``. By a name that says the same on another machine."""
    names = {module.name for module in modules(rooms)} | ({own} if own and own.partition(".")[0] != OWN else set())
    found: dict[str, str] = {}
    for name in sorted(names):
        said = Path(_file(name)).name if name.startswith(_FROM_FILE) else name.partition(".")[0]
        label = f"plug-in {said}"
        both = found.get(label, "") + _digest(name)
        found[label] = hashlib.sha256(both.encode()).hexdigest()
    return found


# -- importing ---------------------------------------------------------------------------------------------------------


def _load_module(name: str) -> None:
    try:
        importlib.import_module(name)
    except TunesmithError:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise _broken(name, error) from error
        file = Path(name.replace(".", "/") + ".py")
        hint = f"Did you mean the file {file}?" if file.is_file() else "Install it, or name a file: my_plugin.py"
        raise PluginError(f"There is no plug-in {name!r}: no such module can be imported. {hint}") from None
    except Exception as error:
        raise _broken(name, error) from error


def _load_file(path: Path) -> None:
    if not path.is_file():
        raise PluginError(f"There is no plug-in {path}: wanted a Python file, or the name of a module.")
    path = path.resolve()
    name = f"{_FROM_FILE}{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PluginError(f"{path} cannot be imported as Python code.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs, as an import does: pickle and dataclasses look here
    try:
        spec.loader.exec_module(module)
    except TunesmithError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise _broken(str(path), error) from error


def _broken(name: str, error: Exception) -> PluginError:
    return PluginError(f"The plug-in {name} cannot be imported: {_first_line(error)}.")


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


# -- code --------------------------------------------------------------------------------------------------------------


def _file(name: str) -> str:
    return str(getattr(sys.modules.get(name), "__file__", None) or "")


def _digest(name: str) -> str:
    """A hash of the code of a module, with that of the whole package it is in. It is taken once: a file that is edited
    while the program runs is not the code that runs."""
    if name not in _digests:
        _digests[name] = _hash(sys.modules.get(name), sys.modules.get(name.partition(".")[0]))
    return _digests[name]


def _hash(module: ModuleType | None, top: ModuleType | None) -> str:
    hashed = hashlib.sha256()
    folders = [Path(folder) for folder in getattr(top, "__path__", ())]
    own = getattr(module, "__file__", None)
    files = [(folder, file) for folder in folders for file in sorted(folder.rglob("*")) if file.suffix in CODE]
    for folder, file in files or ([(Path(own).parent, Path(own))] if own else []):
        if file.is_file() and "__pycache__" not in file.parts:
            hashed.update(str(file.relative_to(folder)).encode())
            hashed.update(hashlib.sha256(file.read_bytes()).digest())
    return hashed.hexdigest()
