"""The one place where errors leave the program: each becomes one line and an exit code.

    0    done
    1    something is wrong with the input, a file or the machine; the line says what, where, and what to do next
    2    the command line itself is wrong
    3    a fault of tunesmith; the line names a file with the traceback
    130  stopped from the keyboard

``--debug`` shows the traceback on the screen instead.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from tunesmith import __version__
from tunesmith.cli.hints import of_option
from tunesmith.core.errors import TunesmithError

PACKAGE = Path(__file__).parent.parent
_SPACE = {errno.ENOSPC, errno.EDQUOT}
_LONGEST = 300
"""Characters of a foreign message or a file name that are shown."""


def pass_through(work: Callable[[], object], *, debug: bool) -> int:
    """Do the work; the exit code of the program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a terminal that lacks a character shows its number
    try:
        code = work()
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        _mute()  # the reader of our output, `head` say, has had enough
        return 1
    except KeyboardInterrupt:
        return _told("stopped. The same command goes on where this one was.", 130, debug)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except Exception as error:
        if debug:
            traceback.print_exc()
            return _code(error)
        return _told(in_words(error), _code(error), debug)


def in_words(error: Exception) -> str:
    """What happened, where, and what to do next."""
    if isinstance(error, TunesmithError):
        return str(error)
    if hasattr(error, "format_message"):  # of the command line's parser: a missing argument, an unknown option
        context = getattr(error, "ctx", None)
        help_of = f" See: {context.command_path} --help" if context else ""
        message = error.format_message()
        meant = of_option(str(getattr(error, "option_name", "") or ""))
        return f"{message}{'' if message[-1:] in '.?!' else '.'}{meant}{help_of}"
    if isinstance(error, OSError) and error.errno in _SPACE:
        return f"The disk is full{_at(error)}. Free some space and give the same command again; finished work is kept."
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}{_at(error)}."
    if isinstance(error, MemoryError) or "out of memory" in str(error):
        return (
            f"There is not enough memory ({_short(str(error)) or 'the system gave no more'}). Close other programs, or "
            "ask for less at once: a smaller model, train.tokens_at_once, train.recompute, fewer --workers."
        )
    if isinstance(error, UnicodeError):
        return f"A text or a file name is not valid UTF-8: {_short(str(error))}."
    return (
        f"A fault of tunesmith {__version__}: {type(error).__name__}: {_short(str(error)) or 'no message'} "
        f"({_place(error)}). {_kept(error)}"
    )


def _code(error: Exception) -> int:
    if hasattr(error, "format_message"):
        return 2
    ours = isinstance(error, TunesmithError | OSError | MemoryError | UnicodeError) or "out of memory" in str(error)
    return 1 if ours else 3


def _told(line: str, code: int, debug: bool) -> int:
    """Print a message as the last thing, also where little works any more."""
    try:
        from rich.markup import escape

        from tunesmith.ask.safe import printable
        from tunesmith.core.screen import console

        if line:
            text = escape(printable(line))
            console(stderr=True).print(f"[bold red]error:[/] {text}", highlight=False, soft_wrap=True)
        sys.stdout.flush()
    except OSError:  # standard error or output is closed or full
        _mute()
    return code


def _mute() -> None:
    """Point the closed output elsewhere, so that Python does not complain of it at its end."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError):
        pass


def _at(error: OSError) -> str:
    name = error.filename if error.filename is not None else ""
    text = _short(os.fsdecode(name) if isinstance(name, str | bytes) else str(name))
    return f": {text}" if text else ""


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."


def _place(error: Exception) -> str:
    """The last line of our own code that the error passed."""
    ours = [
        frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(PACKAGE)
    ]
    return f"{Path(ours[-1].filename).relative_to(PACKAGE)}:{ours[-1].lineno}" if ours else "outside of it"


def _kept(error: Exception) -> str:
    """Where the traceback was written, and what to do with it."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="tunesmith-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(f"tunesmith {__version__}, Python {sys.version}\n{sys.argv!r}\n\n")
            file.writelines(traceback.format_exception(error))
        return f"Please report it with {file.name}, which holds the traceback."
    except OSError:
        return "See the traceback with --debug, and please report it."
