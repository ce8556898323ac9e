"""Every real file, row for row: found out by itself, and nothing lost. Skipped where the files are not there."""

from __future__ import annotations

import json
import tarfile
from collections import Counter
from pathlib import Path

import pytest

from tunesmith.core.types import Comparison, Conversation, SetAside
from tunesmith.data import READERS, Record, Task, detect, lint, load_tasks, read, render, task_of
from tunesmith.data.builds import superni_split
from tunesmith.evals.metrics import METRICS, Answer

DATA = Path(__file__).parents[3] / "shared/data"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the real data sets are not beside the repository")

IDENTITY = {
    "has a placeholder that nothing fills: {{author}}, {{name}}": 52,
    "has a placeholder that nothing fills: {{name}}": 25,
    "has a placeholder that nothing fills: {{author}}": 8,
}

# file: reader, language, rows, rows set aside
FILES = {
    "alpaca_random_9k.json.gz": ("alpaca", "en", 9229, {"has no answer": 4}),
    "gsm8k_test.jsonl.gz": ("gsm8k", "en", 1319, {}),
    "gsm8k_train.jsonl.gz": ("gsm8k", "en", 7473, {}),
    "mt_bench_question.jsonl": ("questions", "en", 80, {}),
    "self_instruct_seed_tasks.jsonl": ("self_instruct", "en", 175, {}),
    "user_oriented_instructions.jsonl": ("self_instruct", "en", 252, {}),
    "t0_datasets.csv": ("table", "en", 66, {}),
    # The 1,400 rows of TREC have an empty completion in the file.
    "t0_train_50k.jsonl.gz": ("prompt_completion", "en", 55185, {"has no answer": 1400}),
    "text/tiny_shakespeare.txt.gz": ("text", "en", 32777, {}),
    "flan_cot/aqua_train.tsv.gz": ("flan_cot", "en", 2728, {}),
    "flan_cot/creak_train.tsv.gz": ("flan_cot", "en", 6915, {}),
    "flan_cot/ecqa_train.tsv.gz": ("flan_cot", "en", 7112, {}),
    "flan_cot/gsm8k_train.tsv.gz": ("flan_cot", "en", 7473, {}),
    "flan_cot/qasc_train.tsv.gz": ("flan_cot", "en", 1084, {}),
    "flan_cot/sensemaking_train.tsv.gz": ("flan_cot", "en", 6070, {}),
    "flan_cot/strategyqa_train.tsv.gz": ("flan_cot", "en", 2061, {}),
    "formats/alpaca_en_demo.json.gz": ("alpaca", "en", 999, {}),
    "formats/alpaca_zh_demo.json.gz": ("alpaca", "zh", 1000, {}),
    "formats/c4_demo.jsonl.gz": ("text", "en", 300, {}),
    "formats/dolly_3k.json.gz": ("dolly", "en", 2996, {}),
    "formats/dpo_en_demo.json.gz": ("preference", "en", 300, {}),
    "formats/dpo_zh_demo.json.gz": ("preference", "zh", 300, {}),
    "formats/glaive_toolcall_en_demo.json.gz": ("sharegpt", "en", 300, {}),
    "formats/glaive_toolcall_zh_demo.json.gz": ("sharegpt", "zh", 300, {}),
    "formats/hh_rlhf_harmless_base_test.jsonl.gz": ("preference", "en", 2312, {"has an empty answer": 4}),
    "formats/identity.json.gz": ("alpaca", "en", 91, IDENTITY),
    "formats/kto_en_demo.json.gz": ("preference", "en", 300, {}),
    "formats/oasst_en_100_tree.jsonl.gz": ("oasst", "en", 100, {}),
    "formats/sharegpt_dummy.json.gz": ("sharegpt", "en", 500, {}),
    "formats/wiki_demo.txt.gz": ("text", "en", 30, {}),
    "superni_splits/default_train_tasks.txt": ("text", "en", 756, {}),
    "superni_splits/default_test_tasks.txt": ("text", "en", 119, {}),
    "superni_splits/default_excluded_tasks.txt": ("text", "en", 738, {}),
    "superni_splits/xlingual_train_tasks.txt": ("text", "en", 1270, {}),
    "superni_splits/xlingual_test_tasks.txt": ("text", "en", 35, {}),
    "superni_splits/xlingual_excluded_tasks.txt": ("text", "en", 308, {}),
}


def a_task(reader: str, path: Path, **settings: str) -> Task:
    return Task("x.en", "c", "en", "x", reader, (), settings={"path": path, **settings})


def test_no_file_is_left_out() -> None:
    there = {str(p.relative_to(DATA)) for p in DATA.rglob("*") if p.is_file()}
    others = {"README.md", "labelled.tar.gz", "promptsource_templates.tar.gz", "superni_tasks.tar.gz"}
    assert {name for name in there if not name.startswith("tokenizers")} - others == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_every_row_of_every_file(name: str) -> None:
    reader, language, rows, aside = FILES[name]
    found = detect(DATA / name)
    assert (found.reader, found.language) == (reader, language)
    seen = list(READERS[reader].read(a_task(reader, DATA / name)))
    assert len({str(row.source) for row in seen}) == rows
    assert Counter(row.reason for row in seen if isinstance(row, SetAside)) == aside


def test_tools_are_called_as_chat_templates_want_it() -> None:
    first = next(iter(READERS["sharegpt"].read(a_task("sharegpt", DATA / "formats/glaive_toolcall_en_demo.json.gz"))))
    assert isinstance(first, Conversation)
    assert [m.role for m in first.messages][:6] == ["user", "assistant", "user", "assistant", "tool", "assistant"]
    (call,) = first.messages[3].tool_calls
    assert call["function"]["arguments"] == {"ingredients": ["chicken", "bell peppers", "rice"]}
    assert first.tools[0]["name"] == "search_recipes"


def test_what_was_ranked_in_trees_and_transcripts() -> None:
    path = DATA / "formats/oasst_en_100_tree.jsonl.gz"
    ranked = [r for r in READERS["oasst"].read(a_task("oasst", path, take="ranked")) if isinstance(r, Comparison)]
    assert len(ranked) > 150 and all(len(r.answers) == len(r.scores) > 1 for r in ranked)
    assert all(list(r.scores) == sorted(r.scores, reverse=True) for r in ranked)
    best = [r for r in READERS["oasst"].read(a_task("oasst", path, take="best")) if isinstance(r, Conversation)]
    assert len(best) <= 100 and all(r.messages[-1].role == "assistant" for r in best)
    pairs = READERS["preference"].read(a_task("preference", DATA / "formats/hh_rlhf_harmless_base_test.jsonl.gz"))
    first = next(iter(pairs))
    assert isinstance(first, Comparison) and first.scores == (1.0, 0.0)
    assert [m.role for m in first.prompt] == ["user", "assistant", "user", "assistant", "user"]
    assert first.answers[0] != first.answers[1]


def test_t0_rows_know_their_data_set_and_cluster() -> None:
    task = task_of(DATA / "t0_train_50k.jsonl.gz")
    rows = read([task]).conversations[task.id]
    clusters = {row.task: row.cluster for row in rows}
    assert len(clusters) == 36 and len({row.template for row in rows}) == 276
    assert set(clusters.values()) == {
        "closed_book_qa",
        "extractive_qa",
        "multiple_choice_qa",
        "paraphrase",
        "sentiment",
        "structure_to_text",
        "summarization",
        "topic_classification",
    }
    assert clusters["adversarial_qa_dbert.en"] == "extractive_qa" and clusters["glue_mrpc.en"] == "paraphrase"


def test_all_tasks_of_super_naturalinstructions(tmp_path: Path) -> None:
    with tarfile.open(DATA / "superni_tasks.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    tasks = load_tasks(tmp_path)
    found = read(tasks)
    assert (len(tasks), found.rows) == (240, 14390)
    assert Counter(row.reason for row in found.set_aside) == {"has no answer": 1}
    official = superni_split.official("default", tasks)
    splits = {p.name: set(p.read_text().split()) for p in (DATA / "superni_splits").glob("default_*")}
    for task in tasks:
        where = next((name.split("_")[1] for name, names in splits.items() if task.stem in names), "nowhere")
        held = task.id in official.held_out.tasks or task.cluster in official.held_out.clusters
        assert (task in official.tasks, held) == (where in ("train", "test"), where == "test"), task.id
    assert len(official.tasks) + len(official.left_out) == 240
    assert Counter(row.reason for row in official.left_out)["the official split 'default' does not name it"] == 1
    capital = next(task for task in tasks if task.stem == "task1146_country_capital")
    words = {t.name: render(found.examples[capital.id][0], t, capital).messages[0].content for t in capital.templates}
    assert words["definition"] == (
        "In this task, you are given a country name and you need to return the capital city of the given country\n\n"
        "Input: Haiti\nOutput:"
    )
    assert words["definition_positive"].count("Example ") == 2 and "Why:" not in words["definition_positive"]
    assert "Why: Washington is the capital city" in words["definition_positive_explained"]
    assert "Bad example 1\nInput: France\nOutput: Rome" in words["definition_positive_negative"]
    assert words["positive"].startswith("Example 1\nInput: United States\nOutput: Washington")


def test_the_shipped_tasks_over_the_14_labelled_sets(tmp_path: Path) -> None:
    with tarfile.open(DATA / "labelled.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    tasks = load_tasks(f"labelled@{tmp_path}")
    found = read(tasks)
    assert len({task.cluster for task in tasks}) == 12 and len({task.name for task in tasks}) == 14
    assert len({task.settings["path"] for task in tasks}) == 14
    # 5,806 rows, some in two or three tasks; one label of MNLI is "-", and MultiRC's wrong answers are not asked for.
    assert Counter(row.reason.partition(":")[0] for row in found.set_aside) == {
        "has a label that the set does not list": 1,
        "is left out by the task's `only`": 185,
    }
    for task in tasks:
        assert len(task.templates) >= 10
        for template in task.templates:
            for example in found.examples[task.id][::7]:
                row = render(example, template, task)
                text = "\n".join(message.content for message in row.messages)
                assert "{{" not in text.replace(example.fields.get("passage", "\0"), "")
                assert row.messages[-1].content in row.answers
                if task.options and template.kind != "inverted":
                    assert row.messages[-1].content in row.options
    assert isinstance(next(iter(READERS["labelled"].read(tasks[0]))), Record)


def test_the_shipped_tasks_over_flans_chains_of_thought() -> None:
    """Each in eight wordings: the answer alone, with the thoughts before it, and the other way round."""
    tasks = load_tasks(f"reasoning@{DATA / 'flan_cot'}", metrics=list(METRICS))
    found = read(tasks)
    assert len(tasks) == 7 and {task.cluster for task in tasks} == {"mathematics", "common_sense", "science"}
    assert sum(len(rows) for rows in found.examples.values()) + len(found.set_aside) == found.rows
    assert lint(tasks, found) == []
    for task in tasks:
        for example in found.examples[task.id][::97]:
            said = {template.name: render(example, template, task) for template in task.templates}
            assert len(said) == 8
            answer, thoughts = example.fields["answer"], example.fields["rationale"]
            for name in ("step_by_step", "reason_first", "show_reasons"):
                text = said[name].messages[-1].content
                assert text.startswith(thoughts) and text.endswith(f"answer is {answer}.")
                assert thoughts not in said[name].messages[0].content
            assert said["only_answer"].messages[-1].content == answer
            assert json.loads(said["as_json"].messages[-1].content) == {"reasons": thoughts, "answer": answer}
            right = METRICS["final_answer"](Answer(said["step_by_step"].messages[-1].content), said["only_answer"])
            assert right == 1 or "answer is" in answer
