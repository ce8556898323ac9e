"""What people type who come from another trainer is answered with our name for it."""

from __future__ import annotations

import pytest

from tunesmith.core.aliases import FOREIGN
from tunesmith.core.aliases import KINDS as OTHER_KINDS
from tunesmith.core.errors import RecipeError
from tunesmith.core.settings import keys_of
from tunesmith.pipeline import recipe
from tunesmith.stages.stage import KINDS

GOOD = """\
name: mine
stages:
  build: {kind: build, tasks: [littleworld]}
  tune:
    kind: sft
    model: hub:owner/name
    data: build
    train:
      lr: 1e-4
"""


def told(text: str, **overrides: object) -> str:
    with pytest.raises(RecipeError) as caught:
        recipe.parse(text, "my.yaml", {key.replace("__", "."): value for key, value in overrides.items()})
    (line,) = str(caught.value).splitlines()[1:]
    return line


def test_every_answer_names_a_setting_that_there_is() -> None:
    for name, ours in FOREIGN.items():
        head, _, rest = ours.key.partition(".")
        kind, key = (head, rest) if head in KINDS else ("sft", ours.key)
        if key:
            assert key in keys_of(KINDS[kind]).values(), name
    own = {name for kind in KINDS for name in keys_of(KINDS[kind])}
    assert not own & set(FOREIGN), "these are ours, and need no answer"


@pytest.mark.parametrize("name", list(FOREIGN))
def test_each_is_answered_wherever_it_stands(name: str) -> None:
    ours = FOREIGN[name]
    wanted = f"here it is `{ours.key}`: " if ours.key else "there is no such setting: "
    assert f"my.yaml:10: {name}: unknown key; {wanted.replace('`: ', '` of a stage: ')}" in told(GOOD + f"{name}: 1\n")
    assert f"my.yaml:10: stages.tune.{name}: unknown key; {wanted}" in told(GOOD + f"    {name}: 1\n")
    assert f"my.yaml:10: stages.tune.train.{name}: unknown key; {wanted}" in told(GOOD + f"      {name}: 1\n")
    assert f"tune.{name}: unknown key; {wanted}" in told(GOOD, **{f"tune__{name}": 1})


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("tune.steps", "stages.tune.steps: unknown key; did you mean 'train.steps'?"),
        ("tune.epochs", "stages.tune.epochs: unknown key; did you mean 'train.epochs'?"),
        ("tune.lr", "stages.tune.lr: unknown key; did you mean 'train.lr'?"),
        ("tune.rank", "stages.tune.rank: unknown key; did you mean 'train.adapter.rank'?"),
        ("tune.train.rank", "stages.tune.train.rank: unknown key; did you mean 'adapter.rank'?"),
        ("tune.cap", "stages.tune.cap: unknown key; did you mean 'mixture.cap'?"),
        ("tune.train.rehearsal", "'rehearsal' stands further up, beside 'train' and not in it"),
        ("tune.train.adapter.lr", "'lr' stands further up, beside 'adapter' and not in it"),
        ("tune.train.adapter.chat", "'chat' stands further up, beside 'train.adapter' and not in it"),
        ("tune.train.stepps", "stages.tune.train.stepps: unknown key; did you mean 'steps'?"),
        ("tune.setps", "stages.tune.setps: unknown key; did you mean 'train.steps'?"),
        ("tune.train.lerning_rate", "unknown key (as 'learning_rate'?); here it is `train.lr`"),
        ("build.epochs", "stages.build.epochs: unknown key; it is `train.epochs` of a stage of kind sft"),
        ("build.vocab_size", "unknown key; it is `vocab_size` of a stage of kind tokenizer"),
        ("tune.train.adapter", "found 1, wanted a mapping with some of the keys rank, alpha, targets, rs, dora, bits"),
        ("build.threshold", "did you mean 'clean.near.threshold'?"),
    ],
)
def test_the_same_name_on_another_level(key: str, said: str) -> None:
    assert said in told(GOOD, **{key: 1})


def test_at_the_top() -> None:
    assert told(GOOD + "lr: 1e-4\n").endswith("lr: unknown key; it is `train.lr` of a stage of kind sft")
    assert told(GOOD + "tasks: [a]\n").endswith("tasks: unknown key; it is `tasks` of a stage of kind build")
    assert told(GOOD + "vocab_size: 3\n").endswith("it is `vocab_size` of a stage of kind tokenizer")
    assert told(GOOD + "sead: 3\n").endswith("did you mean 'seed'?")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("lora", "stage kind 'lora' is not known; here it is sft, with `train: {adapter: {rank: 16}}`"),
        ("QLoRA", "here it is sft, with `train: {adapter: {rank: 16, bits: 4}}`"),
        ("evaluate", "here it is eval"),
        ("stf", "did you mean 'sft'?"),
    ],
)
def test_kinds_of_stages_by_other_names(kind: str, said: str) -> None:
    assert said in told(GOOD.replace("kind: sft", f"kind: {kind}"))
    assert not set(KINDS) & set(OTHER_KINDS)


PASTED = [
    "lora", "lora_r", "lora_rank", "lora_alpha", "lora_dropout", "target_modules", "load_in_4bit", "load_in_8bit",
    "quantization_bit", "learning_rate", "lr_scheduler_type", "warmup_ratio", "warmup_steps",
    "gradient_accumulation_steps", "per_device_train_batch_size", "num_train_epochs", "max_steps", "cutoff_len",
    "max_length", "max_seq_length", "packing", "sample_packing", "bf16", "fp16", "gradient_checkpointing",
    "deepspeed", "fsdp", "neftune_noise_alpha", "logging_steps", "save_steps", "save_total_limit", "eval_steps",
    "report_to", "output_dir", "model_name_or_path", "dataset", "dataset_name", "train_on_inputs",
    "completion_only_loss", "assistant_only_loss", "chat_template", "template", "val_set_size",
    "load_best_model_at_end", "group_by_length", "dataloader_num_workers", "preprocessing_num_workers", "peft_config",
]  # fmt: skip


@pytest.mark.parametrize("name", PASTED)
def test_what_people_paste_from_other_trainers_is_known(name: str) -> None:
    assert name in FOREIGN
