"""Figures of many answers together: by hand, by closed forms, and as suites, verbs and stages give them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student
from typer.testing import CliRunner

from tests.hostile import Request, choice, hostile, http
from tunesmith.cli import app
from tunesmith.core.errors import EvalError, RecipeError, TunesmithError
from tunesmith.evals.asking.suite import Suite
from tunesmith.evals.corpus import formulas as figures
from tunesmith.evals.corpus.figures import Kind, _of_all, figures_of, tries_of
from tunesmith.evals.records import Record, question_id, read_records, write_records


def record(id: str, value: float, **more: Any) -> Record:
    plain: dict[str, Any] = {
        "model": "m", "level": "asked", "format": "instruction", "shots": 0, "metric": "exact_match", "task": "t",
        "cluster": "c", "template": "t/a", "language": "en", "group": id, "prompt": "?", "answer": "x", "gold": ("x",),
        "finished": True,
    }  # fmt: skip
    return Record(id=id, value=value, **{**plain, **more})


def sampled(id: str, right: int, of: int, **more: Any) -> list[Record]:
    return [record(f"{id}~{n}", float(n <= right), sample=n, group=id, **more) for n in range(1, of + 1)]


def test_pass_at_k_by_hand() -> None:
    records = [*sampled("q1", 1, 4), *sampled("q2", 4, 4), *sampled("q3", 0, 4)]
    one, two = figures_of(records, ["pass@1", "pass@2"])
    assert one.value == pytest.approx((1 / 4 + 1 + 0) / 3) and one.n == one.groups == 3
    assert two.value == pytest.approx((1 - 3 / 6 + 1 + 0) / 3)
    assert 0 <= two.low < two.value < two.high <= 1
    assert (one.name, one.model, one.task, one.metric) == ("pass@1", "m", "t", "exact_match")
    assert question_id(records[0]) == "q1"
    (each,) = {question_id(r) for r in [record("q~2~1#3", 1, sample=1, metric="each_constraint")]}
    assert each == "q~2", "an id that looks like a sample's is its own"


def test_a_question_whose_samples_failed_does_not_count() -> None:
    records = [*sampled("q1", 1, 4), *sampled("q2", 2, 4)[:1]]
    (two,) = figures_of(records, ["pass@2"])
    assert two.n == 1 and two.value == pytest.approx(0.5)
    with pytest.raises(EvalError, match=r"pass@5 needs 5 answers to each question; found 1. Set `samples`"):
        figures_of(records, ["pass@5"])


def test_there_is_one_for_each_task_and_for_all() -> None:
    records = [*sampled("q1", 1, 2), *sampled("q1", 2, 2, task="u"), *sampled("q2", 0, 2, model="n")]
    found = {(f.model, f.task): f.value for f in figures_of(records, ["pass@1"])}
    assert found == {("m", ""): 0.75, ("m", "t"): 0.5, ("m", "u"): 1.0, ("n", "t"): 0.0}


def test_f1_is_of_classes_by_whatever_the_metric_takes_for_right() -> None:
    gold, said = ["a", "a", "b", "b"], ["a", "b", "B!", "none"]
    values = [1.0, 0.0, 1.0, 0.0]
    records = [
        record(f"q{i}", v, gold=(g,), answer=s) for i, (g, s, v) in enumerate(zip(gold, said, values, strict=True))
    ]
    (f1,) = figures_of(records, ["f1"])
    assert f1.value == pytest.approx(figures.classes(["a", "b", "b", "none"], gold).macro.f1)
    assert f1.low < f1.value < f1.high


def test_calibration_is_of_ranked_options() -> None:
    ranked = [
        record(f"q{i}", float(i % 3 > 0), metric="options", options=("a", "b"), likely=(-0.1 * i, -1.0))
        for i in range(9)
    ]
    error, brier = figures_of([*ranked, *(record(f"f{i}", 1) for i in range(4))], ["calibration", "brier"])
    from tunesmith.evals.records import sureness

    want = figures.calibration([sureness(r) for r in ranked], [r.value for r in ranked])
    assert (error.value, brier.value, error.n) == (want.error, want.brier, 9)
    with pytest.raises(EvalError, match="No answer has what calibration is made of: ranked options"):
        figures_of([record("q", 1)], ["calibration"])


def test_bleu_and_chrf_are_of_the_corpus_and_of_one_language() -> None:
    said = ["the cat sat on the mat", "a dog ran in the park today", "birds fly over the sea"]
    gold = [("the cat sat on a mat",), ("a dog ran in the park",), ("birds fly over the blue sea", "birds fly")]
    english = [record(f"q{i}", 0.0, answer=s, gold=g) for i, (s, g) in enumerate(zip(said, gold, strict=True))]
    chinese = [record("z", 0.0, task="u", answer="法国的首都是巴黎", gold=("法国的首都是巴黎",), language="zh")]
    bleu, chrf = figures_of(english, ["bleu", "chrf"])
    assert (bleu.value, chrf.value) == (figures.bleu(said, gold), figures.chrf(said, gold)) and bleu.most == 100
    assert 0 <= bleu.low < bleu.value < bleu.high <= 100
    found = {f.task: f.value for f in figures_of([*english, *chinese], ["bleu"])}
    assert found.keys() == {"t", "u"} and found["u"] == pytest.approx(100), "tokens of two languages are not mixed"


def test_the_jackknife_of_a_mean_is_the_interval_of_a_mean() -> None:
    random = np.random.default_rng(0)
    values = random.random(40)
    records = [record(f"q{i}", float(v)) for i, v in enumerate(values)]
    mean = Kind(lambda r: True, lambda some: float(np.mean([r.value for r in some])), 1)
    value, low, high, n, groups = _of_all(mean, records)
    reach = student.ppf(0.975, 39) * values.std(ddof=1) / np.sqrt(40)
    assert value == pytest.approx(values.mean()), "and about as far to both sides as Student's interval"
    assert (low, high) == pytest.approx((values.mean() - reach, values.mean() + reach), abs=0.003)
    assert (n, groups) == (40, 40)
    together = [record(f"q{i}", float(v), group=f"g{i // 4}") for i, v in enumerate(values)]
    assert _of_all(mean, together)[4] == 10
    assert _of_all(mean, [record("a", 1)])[1:3] == (0, 1), "one group says nothing of the spread"


def test_a_figure_of_answers_that_are_all_right_is_not_certain() -> None:
    (f1,) = figures_of([record(f"q{i}", 1.0, gold=("ab"[i % 2],), answer="ab"[i % 2]) for i in range(6)], ["f1"])
    assert f1.value == f1.high == 1 and 0.4 < f1.low < 0.7


@pytest.mark.parametrize("groups", [10, 60])
def test_intervals_of_f1_hold(groups: int) -> None:
    """Two classes, told apart right three times of four; groups of two that go together."""
    random, held, times = np.random.default_rng(1), 0, 120
    for _ in range(times):
        records = []
        for g in range(groups):
            right = random.random() < 0.75
            for i, name in enumerate("ab"):
                said = name if right else "ab"[1 - i]
                records.append(record(f"{g}.{i}", float(right), gold=(name,), answer=said, group=str(g)))
        (f1,) = figures_of(records, ["f1"])
        held += f1.low <= 0.75 <= f1.high
    assert held / times > 0.88


@pytest.mark.parametrize("name", ["pass@0", "pass@", "pass@x", "pass@-1", "blue", "F1", ""])
def test_an_unknown_figure_is_told(name: str) -> None:
    with pytest.raises(TunesmithError, match=r"Figure .* is not known"):
        tries_of(name)


TASK = """\
task: capital
cluster: geography
language: en
name: capitals
reader: table
path: capital.jsonl
id: id
group: id
input: [place]
answer: city
templates:
  - {id: what, instruction: "What is the capital of {{ place }}?", target: "{{ city }}"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"id": f"p{i}", "place": f"Place {i}", "city": f"City {i}"} for i in range(8)]
    (tmp_path / "capital.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "capital.en.yaml").write_text(TASK)
    return tmp_path


def suite(folder: Path, more: str) -> Path:
    (folder / "suite.yaml").write_text(f"suite: s\ntasks: [capital.en.yaml]\n{more}")
    return folder / "suite.yaml"


@pytest.mark.parametrize(
    ("more", "said"),
    [("samples: 3\n", "temperature 0 would be the same answer"), ("figures: [pass@5]\n", "pass@5 needs 5 answers"),
     ("figures: [blue]\n", "Did you mean 'bleu'"), ("temperature: .nan\n", "temperature"),
     ("temperature: .inf\n", "temperature"), ("top_p: 0\n", "top_p"), ("samples: 0\n", "samples"),
     ("seed: -1\n", "seed"), ("stop: ['']\n", "stop")],
)  # fmt: skip
def test_a_suite_that_cannot_be_is_told(folder: Path, more: str, said: str) -> None:
    with pytest.raises((EvalError, RecipeError, TunesmithError), match=said):
        Suite.load(suite(folder, more))


def half_right(request: Request) -> bytes:
    """Of the samples of a question every second is right."""
    place = request.body["messages"][-1]["content"].split()[-1].strip("?")
    if place == "7":
        return http({"error": "not that one"}, "400 Bad")
    said = [f"City {place}" if i % 2 else "Nowhere" for i in range(request.body.get("n", 1))]
    return http({"choices": [choice(text, index=i) for i, text in enumerate(said)]})


def test_a_suite_asks_each_question_several_times(folder: Path) -> None:
    path = suite(folder, "samples: 4\ntemperature: 0.8\nstop: [END]\nfigures: [pass@1, pass@2, bleu]\n")
    out = folder / "out"
    with hostile(half_right) as (url, log):
        run = CliRunner().invoke(app, ["eval", "ask", str(path), f"{url}#tiny", "--out", str(out)])
        assert run.exit_code == 0, run.output
        assert all((b["n"], b["temperature"], b["stop"]) == (4, 0.8, ["END"]) for b in log.asked if "n" in b)
    assert "4 questions failed" in run.output and "400 not that one" in run.output
    lines = [line.split() for line in run.output.splitlines() if "pass@" in line]
    assert [line[0] for line in lines] == ["pass@1", "pass@2"] and "50.0" in lines[0]
    records = read_records(out / "answers.jsonl")
    assert len(records) == 7 * 4 and {r.sample for r in records} == {1, 2, 3, 4}
    assert len({r.id for r in records}) == 28 and len({r.group for r in records}) == 7
    together = {f["name"]: f for f in json.loads((out / "figures.json").read_text())["together"]}
    assert together["pass@1"]["value"] == 0.5 and together["pass@2"]["value"] == pytest.approx(1 - 1 / 6)
    assert together["pass@1"]["n"] == 7
    failed = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert len(failed) == 4 and all("p7" in one["id"] and one["reason"] == "400 not that one" for one in failed)
    again = CliRunner().invoke(app, ["eval", "figures", str(out), "-f", "pass@4", "--json"])
    assert json.loads(again.output)["value"] == 1.0
    table = CliRunner().invoke(app, ["eval", "figures", str(out), "-f", "chrf", "-f", "f1"])
    assert table.exit_code == 0 and "chrf" in table.output and "7 questions" in table.output


def test_two_servers_of_one_name_do_not_answer_for_each_other(folder: Path) -> None:
    path = suite(folder, "rows: 2\n")
    with hostile(half_right) as (one, _), hostile(half_right) as (two, _):
        both = [f"a={one}#tiny", f"b={two}#tiny"]
        with pytest.raises(EvalError, match=r"both serve 'tiny' .* Write #answers=NAME"):
            CliRunner().invoke(app, ["eval", "ask", str(path), *both, "-o", str(folder / "o")], catch_exceptions=False)
        both[1] += "#answers=other"
        run = CliRunner().invoke(app, ["eval", "ask", str(path), *both, "-o", str(folder / "o")])
        assert run.exit_code == 0, run.output


def test_a_figure_stands_in_the_report(tmp_path: Path) -> None:
    from tests.evals.test_report import answers
    from tunesmith.evals.report import ReportData, write_report

    records = [*answers("base", 2), *answers("tuned", 80)]
    write_report(tmp_path, ReportData("t", records, together=figures_of(records, ["f1"])))
    told = json.loads((tmp_path / "report.json").read_text())["together"]
    assert {one["name"] for one in told} == {"f1"} and len(told) >= 2
    assert "Figures of many answers" in (tmp_path / "report.html").read_text()
    write_records(tmp_path / "answers.jsonl", records)
    assert read_records(tmp_path / "answers.jsonl") == records


@pytest.mark.parametrize(("name", "said"), [("blue", "Did you mean 'bleu'"), ("pass@5", "belongs to a suite")])
def test_a_report_names_only_figures_that_it_can_make(name: str, said: str) -> None:
    from tunesmith.stages.report import Report

    with pytest.raises(ValueError, match=said):
        Report(kind="report", data="build", scores="eval", figures=[name])
    assert Report(kind="report", data="build", scores="eval", figures=["f1", "bleu"]).figures == ["f1", "bleu"]


def test_the_report_stage_gives_its_own_figures_and_those_of_suites(folder: Path) -> None:
    from tunesmith.stages.evaluate import Evaluate
    from tunesmith.stages.report import Report

    path = suite(folder, "samples: 2\ntemperature: 0.8\nfigures: [pass@2]\n")
    asked = Evaluate(kind="eval", data="build", tuned="tune", suites=[str(path)])
    plain = [record("p1", 1.0), record("p2", 0.0, gold=("y",))]
    records = [*plain, *sampled("q1", 1, 2, format="s"), *sampled("q2", 0, 2, format="s")]
    report = Report(kind="report", data="build", scores="eval", figures=["f1"])
    found = {(f.name, f.format): f for f in report._together(asked, records)}
    assert found.keys() == {("f1", "instruction"), ("f1", "s"), ("pass@2", "s")}
    assert found["pass@2", "s"].value == 0.5 and found["f1", "instruction"].n == 2
