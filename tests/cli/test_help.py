"""Every command line in a help text, in a hint of an error and in a recipe's remarks can be typed as it stands."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from tests.test_docs import commands
from tunesmith import littleworld
from tunesmith.cli import app, main
from tunesmith.cli.run import overrides
from tunesmith.data import Cleaning, load_tasks
from tunesmith.data.load.tasks import find_task
from tunesmith.pipeline import recipe
from tunesmith.pipeline.ablation import BUILT_IN

SRC = Path(__file__).parents[2] / "src" / "tunesmith"
VERBS = {
    "quickstart", "init", "help", "doctor", "run", "train", "launch", "eval", "ablate", "export", "data", "recipe",
    "show", "chat",
}  # fmt: skip


def every_command(command: Any, name: str = "tunesmith") -> Iterator[tuple[str, Any]]:
    yield name, command
    for sub, inner in sorted(getattr(command, "commands", {}).items()):
        yield from every_command(inner, f"{name} {sub}")


SUBS = {word for name, _ in every_command(typer.main.get_command(app)) for word in name.split()[2:]}


def in_help() -> list[str]:
    """The lines of help texts that begin with the program's name, without their remarks."""
    found = []
    for _, command in every_command(typer.main.get_command(app)):
        text = re.sub(r"\[dim\].*?\[/\]", "", command.help or "")
        lines = (line.strip().split(" > ")[0] for line in text.splitlines())
        found += [line for line in lines if line.startswith("tunesmith ")]
    return found


def in_options() -> list[str]:
    """Examples in the help of options, as ``--set tune.train.steps=200``."""
    found = []
    for name, command in every_command(typer.main.get_command(app)):
        for option in command.params:
            for said in re.findall(r"(--set [\w.]+=\S+?)\[/\]", getattr(option, "help", None) or ""):
                takes_recipe = any(other.name == "recipe" for other in command.params)
                found.append(f"{name} quickstart {said}" if takes_recipe else f"{name} {said}")
    return found


def texts(node: ast.AST) -> str | None:
    """A text of the source; what is filled into an f-string becomes one word."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(texts(part) or "x" for part in node.values)
    return None


def in_hints() -> list[str]:
    """The commands that errors and remarks name: after a colon or between backticks."""
    found = []
    for file in [*SRC.rglob("*.py"), *SRC.rglob("*.yaml")]:
        source = file.read_text(encoding="utf-8")
        if file.suffix == ".py":
            every = [text for node in ast.walk(ast.parse(source)) if (text := texts(node))]
        else:
            every = [line.lstrip("# ") for line in source.splitlines() if line.lstrip().startswith("#")]
        for text in every:
            for line in re.findall(r"(?:^|`|: +|\n +)(tunesmith [a-z]+[^`\n|]*)", text):
                line = re.split(r"  +|[.,;)]$|[.] |[.]$", line)[0].split(" > ")[0].strip()
                if line.split()[1] in VERBS:
                    found.append(line)
    return sorted(set(found))


def in_pages() -> list[str]:
    """The commands of README and docs that change settings; that the others parse is tested with the pages."""
    return [re.sub(r"launch --ranks \d+ ", "", line) for _, line in commands() if "--set" in line]


LINES = sorted({*in_help(), *in_options(), *in_hints(), *in_pages()})


def test_they_are_found() -> None:
    assert len(in_help()) > 40 and len(in_options()) >= 3 and len(in_hints()) > 15
    assert len(in_pages()) >= 4
    assert "tunesmith run my.yaml --check" in LINES


def parsed(line: str) -> tuple[str, dict[str, Any]]:
    """The verb and the arguments of a command line, as the program would take them."""
    command: Any = typer.main.get_command(app)
    args = shlex.split(line)[1:]
    context = command.make_context("tunesmith", list(args), resilient_parsing=True)
    verb, rest = "", args
    while hasattr(command, "resolve_command"):
        if not rest or (rest[0] not in command.commands and not getattr(command, "default", None)):
            break
        name, command, rest = command.resolve_command(context, rest)
        verb = f"{verb} {name}".strip()
    return verb, command.make_context(verb, list(rest), resilient_parsing=False).params


@pytest.mark.parametrize("line", LINES)
def test_it_parses_and_what_it_names_is_there(line: str) -> None:
    if "--schema" in line:
        assert parsed(line)[1]["schema"]
        return
    if all(word in VERBS | SUBS for word in line.split()[1:]):
        return  # the name of a verb, not a command to be typed
    verb, args = parsed(line)
    built_in = recipe.load("quickstart")
    if args.get("set"):
        recipe.load("quickstart", overrides(args["set"], None))
    if verb in ("run", "train", "eval run", "quickstart"):
        for key in ("only", "again", "stage", "stages"):
            named = args.get(key) or ()
            for stage in [named] if isinstance(named, str) else named:
                assert stage in built_in.stages
    if verb == "ablate" and (name := args["ablation"]) and not name.endswith(".yaml") and name != "x":
        assert (BUILT_IN / f"{name}.yaml").is_file()
    for folder, below in re.findall(r"runs/(\w+)/(\w+)", line):
        assert folder != "quickstart" or below in built_in.stages, "no such stage"
    if verb.startswith("data "):
        check_data(args)


def check_data(args: dict[str, Any]) -> None:
    tasks = load_tasks(littleworld.task_files())
    name = args.get("task") or args.get("name") or args.get("row") or ""
    if isinstance(name, str) and re.match(r"\w+\.(en|zh)\b", name):
        task = find_task(tasks, name.partition("/")[0])
        for template in [args["template"]] if isinstance(args.get("template"), str) else args.get("template") or ():
            task.template(template)
    if args.get("cluster"):
        wanted = args["cluster"] if isinstance(args["cluster"], str) else args["cluster"][0]
        assert wanted in {task.cluster for task in tasks}
    for step in args.get("clean") or ():
        assert step in Cleaning.model_fields


def test_a_wrong_one_is_seen() -> None:
    with pytest.raises(Exception, match="No such option"):
        parsed("tunesmith run my.yaml --chek")
    for line, said in (
        ("tunesmith run my.yaml --set tune.steps=3", "did you mean 'train.steps'"),
        ("tunesmith train my.yaml --set tune.peak=3", "unknown key"),
    ):
        with pytest.raises(Exception, match=said):
            test_it_parses_and_what_it_names_is_there(line)
    with pytest.raises(AssertionError, match="no such stage"):
        test_it_parses_and_what_it_names_is_there("tunesmith data explain a/b runs/quickstart/data")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("--epochs=2", "It is a setting of a recipe's stage: --set tune.train.epochs=VALUE"),
        ("--lr=1e-4", "--set tune.train.lr=VALUE"),
        ("--learning-rate=1e-4", "--set tune.train.lr=VALUE (the peak learning rate)"),
        ("--per_device_train_batch_size=4", "--set tune.train.batch_tokens=VALUE"),
        ("--dataset=x", "--set build.tasks=VALUE"),
        ("--output_dir=x", "There is no such setting: the output goes to runs/<name>"),
        ("--nonsense=x", "See: tunesmith train --help"),
    ],
)
def test_a_setting_typed_as_an_option(option: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["train", "quickstart", option])
    assert caught.value.code == 2 and said in capsys.readouterr().err
