"""Two small kinds of stage for the tests of recipes and runs: ``make`` writes a text, ``join`` reads others' texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from tunesmith.core.registry import Registry
from tunesmith.core.settings import Settings
from tunesmith.stages.stage import From, Job, Stage


class Style(Settings):
    case: Literal["upper", "lower"] = Field(default="lower", description="How the text is written.")
    size: float = Field(default=1.0, gt=0)


class Make(Stage):
    """Writes its text."""

    text: str = Field(description="What is written.")
    style: Style = Style()
    source: Path | None = None

    gives: ClassVar[tuple[str, ...]] = ("text", "words")
    rooms: ClassVar[tuple[str, ...]] = ("core/errors.py",)

    def files(self) -> list[Path]:
        return [self.source] if self.source else []

    def run(self, job: Job) -> Mapping[str, Any]:
        text = self.text + (self.source.read_text() if self.source else "")
        (job.out / "text").write_text(text.upper() if self.style.case == "upper" else text)
        return {"letters": len(text)}


class Join(Stage):
    """Joins the texts of others; the text FAIL stops it half way."""

    left: Annotated[str, From("text")]
    more: Annotated[tuple[str, ...], From("words")] = ()
    model: Annotated[str, From("words", folder=True)] = ""
    steps: int = 1

    gives: ClassVar[tuple[str, ...]] = ("text", "model")

    def run(self, job: Job) -> Mapping[str, Any]:
        half = job.out / "half"
        again = half.exists()
        half.write_text("")
        texts = [(job.inputs[name] / "text").read_text() for name in (self.left, *self.more) if name in job.inputs]
        if "FAIL" in texts and not again:
            raise KeyboardInterrupt
        (job.out / "text").write_text("+".join(texts))
        return {"resumed": again}


def kinds() -> Registry[type[Stage]]:
    registry: Registry[type[Stage]] = Registry("Stage kind")
    registry.add("make")(Make)
    registry.add("join")(Join)
    return registry
