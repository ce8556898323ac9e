"""The suites that the package carries ask what lm-evaluation-harness asks, over copies in the hub's layout."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lm_eval
import pyarrow
import pyarrow.parquet
import pytest
import yaml
from lm_eval.api.task import ConfigurableTask
from lm_eval.filters import build_filter_ensemble
from lm_eval.tasks import TaskManager
from lm_eval.tasks.hellaswag.utils import process_docs
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from tests.models.test_generate import sharp
from tunesmith.cli import app
from tunesmith.core.errors import EvalError, RecipeError
from tunesmith.core.types import Conversation
from tunesmith.data.load.tasks import load_tasks
from tunesmith.evals.asking.suite import SHIPPED, Suite, suite_file
from tunesmith.evals.harness.model import HarnessModel
from tunesmith.evals.metrics import METRICS, Answer
from tunesmith.evals.records import answers_in
from tunesmith.models.load import load_model

HARNESS = Path(lm_eval.__file__).parent / "tasks"
WORDS = "the quick brown fox jumps over a lazy dog and some three four".split()  # noqa: SIM905
NAMES = ("arc", "bbh", "gsm8k", "hellaswag", "humaneval", "ifeval", "mmlu")


def rows_of(name: str, r: random.Random, i: int) -> dict[str, Any]:
    """A row as the hub has it."""
    some = [" ".join(r.sample(WORDS, k=k)) for k in (2, 1, 3, 4)]
    match name:
        case "gsm8k":
            return {
                "question": f"What is {i} + 1,000? ",
                "answer": f"Add.\n{i}+1000=<<{i}+1000={i + 1000}>>\n#### {i + 1000}",
            }
        case "arc":
            labels = ["1", "2", "3", "4"] if i % 3 == 0 else list("ABCD")
            return {"id": f"q{i}", "question": f"Which {i}?", "choices": {"text": some, "label": labels},
                    "answerKey": labels[r.randrange(4)]}  # fmt: skip
        case "hellaswag":
            endings = [f"{one}  [step] twice. [title] End" for one in some]
            return {"activity_label": "Cooking", "ctx_a": f"[header] How to {i} [title] Begin.", "ctx_b": "then he",
                    "endings": endings, "source_id": f"s{i // 2}", "label": str(r.randrange(4))}  # fmt: skip
        case "mmlu":
            return {"question": f" Which {i}?\n", "subject": "us_history", "choices": some, "answer": r.randrange(4)}
        case "bbh":
            return {"input": f"not ( {i % 2 == 0} ) or {i} < 0 is", "target": str(i % 2 == 1)}
        case "ifeval":
            return {
                "key": i,
                "prompt": f"Say {i}, no commas.",
                "instruction_id_list": ["punctuation:no_comma"],
                "kwargs": [{}],
            }
    begin = f'def add{i}(a, b):\n    """Add."""\n'
    return {"task_id": f"HumanEval/{i}", "prompt": begin, "canonical_solution": "    return a + b\n",
            "test": f"def check(f):\n    assert f(1, {i}) == {i + 1}\n", "entry_point": f"add{i}"}  # fmt: skip


PLACES = {
    "gsm8k": ["openai/gsm8k/main/test-00000-of-00001.parquet"],
    "arc": ["ai2_arc/ARC-Challenge/test-00000-of-00001.parquet", "ai2_arc/ARC-Easy/test-00000-of-00001.parquet"],
    "hellaswag": ["Rowan/hellaswag/data/validation-00000-of-00001.parquet"],
    "mmlu": ["cais/mmlu/all/test-00000-of-00001.parquet"],
    "ifeval": ["google/IFEval/train.jsonl"],
    "humaneval": ["openai/openai_humaneval/openai_humaneval/test-00000-of-00001.parquet"],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of each set in the hub's layout, of sixteen rows."""
    folder = tmp_path_factory.mktemp("data")
    tasks = load_tasks("bbh", metrics=list(METRICS))
    subsets = [str(task.settings["path"]).partition("config=")[2].partition("&")[0] for task in tasks]
    places = {**PLACES, "bbh": [f"SaylorTwift/bbh/{name}/test-00000-of-00001.parquet" for name in subsets]}
    for name, files in places.items():
        for file in files:
            r = random.Random(file)
            rows = [rows_of(name, r, i) for i in range(16)]
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            if file.endswith(".jsonl"):
                (folder / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
            else:
                pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), folder / file)
    return folder


def asked(name: str, data: Path, task: str = "") -> list[Conversation]:
    """The questions of a suite, with no examples before them."""
    suite = Suite.load(f"{name}@{data}").model_copy(update={"shots": [0]})
    rows = suite.questions(functools.partial(load_tasks, metrics=list(METRICS))).questions[0]
    return [row for row in rows if not task or row.task == f"{task}.en"]


def theirs(file: str, data: str, **more: Any) -> ConfigurableTask:
    """A task of the harness, as its own file has it, over our copy."""

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: None)
    config: dict[str, Any] = {}
    path = HARNESS / file
    while True:
        config = {**yaml.load(path.read_text(), Loader), **config}
        if "include" not in config:
            break
        path = path.parent / config.pop("include")
    for key in ("dataset_name", "training_split", "validation_split", "fewshot_split", "fewshot_config", "tag"):
        config.pop(key, None)
    if "metric_list" in config and file.startswith("bbh"):
        config.pop("filter_list", None)
    split = more.pop("split", "test")
    config |= {"dataset_path": "parquet", "dataset_kwargs": {"data_files": {split: data}}, f"{split}_split": split}
    return ConfigurableTask(config={**config, **more})


COMPARED = {
    "gsm8k": ("gsm8k/gsm8k.yaml", "gsm8k", {}),
    "arc_challenge": ("arc/arc_challenge.yaml", "arc", {}),
    "arc_easy": ("arc/arc_easy.yaml", "arc", {}),
    "hellaswag": ("hellaswag/hellaswag.yaml", "hellaswag", {"split": "validation", "process_docs": process_docs}),
    "mmlu": (
        "mmlu/default/mmlu_anatomy.yaml",
        "mmlu",
        {"description": "The following are multiple choice questions (with answers) about us history.\n\n"},
    ),
    "bbh_boolean_expressions": ("bbh/cot_zeroshot/boolean_expressions.yaml", "bbh", {}),
}


def file_of(task: str, data: Path) -> Path:
    (found,) = (
        load_tasks(f"{COMPARED[task][1]}@{data}", metrics=list(METRICS))[:1]
        if "arc" not in task
        else [one for one in load_tasks(f"arc@{data}", metrics=list(METRICS)) if one.id == f"{task}.en"]
    )
    return Path(found.settings["path"])


@pytest.mark.parametrize("task", list(COMPARED))
def test_the_same_questions_as_theirs(task: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, suite, more = COMPARED[task]
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    harness = theirs(file, str(file_of(task, data)), **more)
    docs = list(harness.eval_docs)
    ours = {row.messages[0].content: row for row in asked(suite, data, task)}
    assert len(ours) == len(docs) == 16
    for doc in docs:
        row = ours[harness.fewshot_context(doc, num_fewshot=0)]
        if harness.config.output_type == "multiple_choice":
            assert list(row.options) == harness.doc_to_choice(doc)
            assert row.answers == (harness.doc_to_choice(doc)[int(harness.doc_to_target(doc))],)
        else:
            gold = str(harness.doc_to_target(doc))
            assert row.answers == (gold.replace("\n", " "),)


def test_every_suite_is_over_a_copy(data: Path) -> None:
    assert tuple(sorted(file.stem for file in SHIPPED.glob("*.yaml"))) == NAMES
    counts = {name: len(asked(name, data)) for name in NAMES}
    assert counts == {**dict.fromkeys(NAMES, 16), "arc": 32, "bbh": 27 * 16}


SAID = [
    "We add. #### 1003", "1,000 + 3 = 1,003", "The answer is $1003.", "#### 1,003\nSo it is.", "1003.00", "#### 1004",
    "The answer is 3, since 1003 - 1000", "none", "first 1003, then 7", "(1003)",
]  # fmt: skip


def test_gsm8k_counts_as_theirs_does(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against their flexible-extract: equal but where the answer is named and other numbers follow, or where 1003.00
    is written, which is the number, and no match of theirs."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    harness = theirs("gsm8k/gsm8k.yaml", str(file_of("gsm8k", data)))
    doc = next(doc for doc in harness.eval_docs if doc["question"].startswith("What is 3 "))
    row = next(row for row in asked("gsm8k", data) if row.messages[0].content == harness.doc_to_text(doc))
    config = next(one for one in harness.config.filter_list or [] if one["name"] == "flexible-extract")
    steps = [[f["function"], {k: v for k, v in f.items() if k != "function"}] for f in config["filter"]]
    ensemble = build_filter_ensemble("flexible-extract", steps)
    ours, other = [], []
    for text in SAID:
        (extracted,) = ensemble.filters[0]().apply([[text]], [doc])
        other.append(harness.process_results(doc, [next(iter(extracted))])["exact_match"])
        ours.append(METRICS["number"](Answer(text, True), row))
    assert [int(x) for x in ours] == [1, 1, 1, 1, 1, 0, 0, 0, 0, 1]
    differs = [text for text, a, b in zip(SAID, ours, other, strict=True) if a != b]
    assert differs == ["1003.00"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.conftest import CORPUS
    from tunesmith.chat import train_bpe

    folder = tmp_path_factory.mktemp("model")
    tok: PreTrainedTokenizerFast = train_bpe(CORPUS, vocab_size=600)
    shape = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    more = {"vocab_size": len(tok), "num_attention_heads": 2, "max_position_embeddings": 1024}
    sharp(load_model({**shape, **more}, seed=3)).save_pretrained(folder)
    tok.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("task", ["arc_challenge", "hellaswag"])
def test_the_same_scores_as_theirs(
    task: str, data: Path, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A base in plain text: an answer stands on a line of its own, its end included. With that delimiter and that end
    their accuracy is ours, question by question. Their likelihoods count the delimiter too, which is the same for each
    option of a question."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    file, suite, more = COMPARED[task]
    out = tmp_path / "out"
    run = CliRunner().invoke(app, ["eval", "ask", f"{suite}@{data}", str(model), "--out", str(out)])
    assert run.exit_code == 0, run.output
    records = [r for r in answers_in(out) if r.metric == "options" and r.task == f"{task}.en"]
    harness = theirs(file, str(file_of(task, data)), **more)
    choices = harness.doc_to_choice
    harness.doc_to_choice = lambda doc, *_: [f"{one}\n" for one in choices(doc)]  # type: ignore[method-assign]
    harness.config.target_delimiter = "\n"
    found = lm_eval.simple_evaluate(
        model=HarnessModel.open(model),
        tasks=[harness],
        bootstrap_iters=0,
        task_manager=TaskManager(include_defaults=False),
    )
    assert found is not None
    (samples,) = found["samples"].values()
    by_prompt = {record.prompt: record for record in records}
    assert len(samples) == len(by_prompt) == 16
    for sample in samples:
        record = by_prompt[sample["arguments"][0][0].rstrip("\n")]
        delimiter = sample["filtered_resps"][0][0] - record.likely[0]
        assert [x - delimiter for x, _ in sample["filtered_resps"]] == pytest.approx(list(record.likely), abs=1e-3)
        assert record.value == sample["acc"]
    assert 0 < sum(record.value for record in records) < 16


def test_over_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder the rows are asked of the hub: this set, configuration and split, as a stream."""
    called: list[tuple[Any, ...]] = []

    def load_dataset(name: str, config: str | None, **how: Any) -> list[dict[str, Any]]:
        called.append((name, config, how["split"], how["streaming"]))
        return [rows_of(name.rpartition("/")[2].removeprefix("ai2_"), random.Random(i), i) for i in range(8)]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    (shots,) = Suite.load("gsm8k").questions().questions.values()
    assert len(shots) == 3 and called == [("openai/gsm8k", "main", "test", True)], "five of eight are shown"
    called.clear()
    Suite.load("arc").questions()
    assert called == [("allenai/ai2_arc", f"ARC-{one}", "test", True) for one in ("Challenge", "Easy")]


def test_what_is_told(data: Path, tmp_path: Path) -> None:
    for place, error, told in (
        ("gsm9k", RecipeError, "There is no suite 'gsm9k'. Did you mean 'gsm8k'?"),
        ("gsm8k@nowhere", EvalError, "there is no folder nowhere; the suite 'gsm8k' looks for its data in it"),
    ):
        with pytest.raises(error, match=told.replace("?", r"\?")):
            Suite.load(place)
    with pytest.raises(
        RecipeError, match=r"holds no copy of hub:openai/gsm8k\?config=main&split=test. Wanted openai/g"
    ):
        Suite.load(f"gsm8k@{tmp_path}").questions()
    assert suite_file(f"arc@{data}") == (SHIPPED / "arc.yaml", str(data))


def test_rows_that_cannot_be_used(tmp_path: Path) -> None:
    def aside(name: str, file: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("".join(json.dumps(row) + "\n" for row in rows))
        suite = Suite.load(f"{name}@{tmp_path}")
        return [one.reason for one in suite.questions().set_aside]

    good = {"question": "Which?", "subject": "law", "choices": ["a", "b"], "answer": 1}
    bad = [{**good, "answer": 2}, {**good, "choices": ["a"]}, {**good, "answer": True}, {**good, "question": 3}]
    assert aside("mmlu", "cais/mmlu/all/test.jsonl", [good, *bad]) == [
        "`right` is 2, wanted the number of a choice, from 0 to 1",
        "`choices` is a list, wanted 2 to 26 texts",
        "`right` is True, wanted the number of a choice, from 0 to 1",
        "`question` is 3, wanted a text",
    ]
    row = {"activity_label": "Cooking", "ctx_a": "Begin.", "ctx_b": "", "endings": ["a", "b"], "label": "1"}
    bad = [{**row, "label": ""}, {**row, "label": "7"}, {**row, "endings": ["a", 3]}]
    assert aside("hellaswag", "hellaswag/validation.jsonl", [row, *bad]) == [
        "has no label that names one of its endings",
        "has no label that names one of its endings",
        "`endings` holds something that is no text",
    ]
