"""The tasks of lm-evaluation-harness give the same figures by our engine as by theirs, and our results have their
shape."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import lm_eval
import pytest
import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import PreTrainedTokenizerFast
from typer.testing import CliRunner

from tests.models.test_generate import sharp
from tunesmith.chat import ChatFormat
from tunesmith.cli import app
from tunesmith.core.errors import EvalError
from tunesmith.evals.harness.model import HarnessModel
from tunesmith.evals.harness.results import records_of, results_of
from tunesmith.evals.records import answers_in, rescored
from tunesmith.models.load import load_model

TASKS = ("my_choice", "my_words", "my_text")
BEGIN = """\
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/rows.jsonl}}}}
test_split: test
fewshot_split: test
output_type: {kind}
"""
REST = {
    "my_choice": (
        "multiple_choice",
        'doc_to_text: "Question: {{q}}\\nAnswer:"\ndoc_to_target: answer\ndoc_to_choice: "{{choices}}"\n'
        "metric_list: [{metric: acc}, {metric: acc_norm}]\n",
    ),
    "my_words": (
        "generate_until",
        'doc_to_text: "Question: {{q}} "\ndoc_to_target: "{{choices[answer]}}"\n'
        'generation_kwargs: {until: ["\\n", "e"], max_gen_toks: 12}\nmetric_list: [{metric: exact_match}]\n',
    ),
    "my_text": (
        "loglikelihood_rolling",
        'doc_to_text: ""\ndoc_to_target: "{{long}}"\nmetric_list: [{metric: byte_perplexity}]\n',
    ),
}


@pytest.fixture
def folder(tmp_path: Path, tok: PreTrainedTokenizerFast, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    words = [*"the quick brown fox jumps over a lazy dog and some three four".split(), "法国", "巴黎"]  # noqa: SIM905
    r = random.Random(5)
    rows = [
        {
            # Two are longer than the model can read, and lose their beginning.
            "q": f"What comes after {' '.join(r.choices(words, k=r.randint(1, 6) if i > 1 else 90))}?",
            "choices": [" ".join(r.sample(words, k=k)) for k in (1, 2, 3, 4)],
            "answer": r.randrange(4),
            "long": " ".join(r.choices(words, k=r.choice((3, 40, 90)))),
        }
        for i in range(16)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, (kind, rest) in REST.items():
        (tmp_path / f"{name}.yaml").write_text(BEGIN.format(name=name, folder=tmp_path, kind=kind) + rest)
    fmt = ChatFormat.named("chatml", tok)
    shape = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1}
    more: dict[str, Any] = {
        "eos_token_id": fmt.tok.eos_token_id,
        "vocab_size": len(fmt.tok),
        "num_attention_heads": 2,
        "max_position_embeddings": 128,
    }
    sharp(load_model({**shape, **more}, seed=3)).save_pretrained(tmp_path / "model")
    fmt.tok.save_pretrained(tmp_path / "model")
    return tmp_path


def run(folder: Path, lm: Any, **how: Any) -> dict[str, Any]:
    tasks = TaskManager(include_path=str(folder), include_defaults=False)
    found = lm_eval.simple_evaluate(model=lm, tasks=list(TASKS), task_manager=tasks, bootstrap_iters=0, **how)
    assert found is not None
    return dict(found)


@pytest.mark.parametrize("how", [{}, {"num_fewshot": 2}, {"apply_chat_template": True}])
def test_the_same_figures_as_theirs(folder: Path, how: dict[str, Any]) -> None:
    ours = run(folder, HarnessModel.open(folder / "model"), **how)
    theirs = run(folder, HFLM(pretrained=str(folder / "model"), device="cpu", dtype="float32", batch_size=4), **how)
    for task in TASKS:
        for key, value in theirs["results"][task].items():
            assert ours["results"][task][key] == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value)
    for a, b in zip(ours["samples"]["my_choice"], theirs["samples"]["my_choice"], strict=True):
        assert [x for x, _ in a["filtered_resps"]] == pytest.approx([x for x, _ in b["filtered_resps"]], abs=1e-4)
        assert [x for _, x in a["filtered_resps"]] == [x for _, x in b["filtered_resps"]]
    said = [[one["resps"] for one in side["samples"]["my_words"]] for side in (ours, theirs)]
    assert said[0] == said[1] and len({str(one) for one in said[0]}) > 3


def test_likeliest_by_itself_is_told(folder: Path) -> None:
    """The second figure of their log-likelihoods: what generation says first is greedy, what it does not is not."""
    lm = HarnessModel.open(folder / "model")
    prompt = lm.tok_encode("Question: what comes after")
    asked = torch.tensor([prompt])
    right = lm.model.generate(asked, max_new_tokens=4, do_sample=False)[0, len(prompt) :].tolist()
    wrong = [*right[:-1], (right[-1] + 1) % 300]
    found = lm._loglikelihood_tokens([(("a", "b"), prompt, right), (("a", "c"), prompt, wrong)])
    assert [greedy for _, greedy in found] == [True, False]


def test_samples_become_records(folder: Path) -> None:
    results = run(folder, HarnessModel.open(folder / "model"))
    records = records_of(results, "m")
    for metric, key in (("acc", "acc,none"), ("acc_norm", "acc_norm,none")):
        mine = [r.value for r in records if (r.task, r.metric) == ("my_choice", metric)]
        assert len(mine) == 16 and sum(mine) / 16 == pytest.approx(results["results"]["my_choice"][key])
    # Their choice is what our metric makes of the same likelihoods; they do not count the space before an option.
    ranked = [r for r in records if (r.task, r.metric) == ("my_choice", "acc")]
    assert [r.value for r in rescored(ranked, "options")] == [r.value for r in ranked]
    normed = [r.value for r in records if (r.task, r.metric) == ("my_choice", "acc_norm")]
    assert [r.value for r in rescored(ranked, "options_norm")] == normed
    (text,) = {r.metric for r in records if r.task == "my_text"}
    mine = [r.value for r in records if r.task == "my_text"]
    assert text == "bits_per_byte" and len(mine) == 16 and all(value > 1 for value in mine)
    assert any(r.answer and not r.value for r in records if r.task == "my_words")


def test_our_results_in_their_shape(folder: Path) -> None:
    records = [r for r in records_of(run(folder, HarnessModel.open(folder / "model")), "m") if r.task == "my_choice"]
    ranked = rescored([r for r in records if r.metric == "acc"], "options")
    shaped = results_of([*ranked, *rescored(ranked, "options_norm")])
    found = shaped["results"]["my_choice"]
    rate = sum(r.value for r in ranked) / 16
    assert found["acc,none"] == rate and found["alias"] == "my_choice"
    assert found["acc_stderr,none"] == pytest.approx((rate * (1 - rate) / 15) ** 0.5)  # theirs, too: one group each
    assert shaped["n-samples"]["my_choice"] == {"original": 16, "effective": 16} and shaped["n-shot"] == {
        "my_choice": 0
    }
    assert results_of(ranked[:1])["results"]["my_choice"]["acc_stderr,none"] == "N/A"
    json.dumps(shaped)


def test_on_the_command_line(folder: Path) -> None:
    order = ["eval", "harness", str(folder / "model"), "--include", str(folder), "--limit", "5"]
    run = CliRunner().invoke(app, [*order, "--task", "my_choice", "--out", str(folder / "out")], catch_exceptions=False)
    assert "acc_norm,none" in run.output
    assert {r.model for r in answers_in(folder / "out")} == {"model"} and len(answers_in(folder / "out")) == 10
    assert "acc,none" in json.loads((folder / "out" / "model" / "results.json").read_text())["results"]["my_choice"]
    with pytest.raises(EvalError, match=r"no task 'my_choise'. Did you mean 'my_choice'"):
        CliRunner().invoke(app, [*order, "--task", "my_choise"], catch_exceptions=False)
