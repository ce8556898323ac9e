"""Win rates of AlpacaEval's annotations on the command line."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from tests.evals.judges.test_length_controlled import HARD, fair, judged
from tunesmith.cli import app


def annotated(path: Path, model: str, quality: float, shorter: float, seed: int) -> Path:
    """A file of annotations; lengths are texts of that many characters."""
    rows = judged(quality, shorter, seed)
    value = [
        {
            "instruction": row.instruction, "output_1": "x" * 2500, "output_2": "y" * round(2500 - row.shorter),
            "generator_1": "base", "generator_2": model, "preference": 1 + row.preferred,
        }
        for row in rows
    ]  # fmt: skip
    path.write_text(json.dumps(value))
    return path


def test_a_table_like_alpaca_evals(tmp_path: Path) -> None:
    files = [annotated(tmp_path / f"{i}.json", f"m{i}", i / 4 - 2, 100 * i - 400, i) for i in range(9)]
    for how, by in (("concise", 500), ("verbose", -500)):
        files.append(annotated(tmp_path / f"{how}.json", f"base_{how}", 0.0, by, 90 + by // 100))
    told = CliRunner().invoke(app, ["eval", "winrate", *map(str, files), "--json"])
    assert told.exit_code == 0, told.output
    lines = [json.loads(line) for line in told.output.splitlines()]
    assert [line["model"] for line in lines[:9]] == [f"m{i}" for i in range(9)]
    for i, line in enumerate(lines[:9]):
        assert abs(line["length_controlled"] - 100 * fair(i / 4 - 2)) < 2.5
        assert line["interval"][0] < line["win_rate"] < line["interval"][1] and line["questions"] == len(HARD)
    told = CliRunner().invoke(app, ["eval", "winrate", *map(str, files)])
    assert "fitted from these 11 models. Gamed annotations: among the models." in told.output
    told = CliRunner().invoke(app, ["eval", "winrate", str(files[0])])
    assert told.exit_code == 0 and "Difficulty of instructions: not known. Gamed annotations: none." in told.output

    text = "index,preference,std_delta_len,instruction_difficulty\n"
    text += "".join(f"{i},0.5,0,{h}\n" for i, h in enumerate(HARD.values()))
    (tmp_path / "g.csv").write_text(text)
    told = CliRunner().invoke(app, ["eval", "winrate", str(files[3]), "--reference", str(tmp_path / "g.csv"), "--json"])
    assert told.exit_code == 0 and abs(json.loads(told.output)["weights"]["difficulty"] - 1) < 0.25


def test_what_is_no_annotation_is_one_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("[1]")
    told = CliRunner().invoke(app, ["eval", "winrate", str(bad)])
    assert told.exit_code != 0 and "annotation 1: wanted an object" in str(told.exception) + told.output
