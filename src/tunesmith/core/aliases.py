"""What other trainers call their settings, and what each is called here.

People come from TRL, Axolotl, LLaMA-Factory and the Trainer of transformers, and type what they know. An unknown key
that stands in this table is answered with our name for it and with what differs:

    my.yaml:9: stages.tune.learning_rate: unknown key; here it is `train.lr`: the peak learning rate
"""

from __future__ import annotations

from typing import NamedTuple


class Ours(NamedTuple):
    """What a foreign setting is here."""

    key: str
    """Of a stage, as ``train.lr`` or ``build.tasks``; empty: there is no such setting."""
    what: str


_BATCH = Ours(
    "train.batch_tokens",
    "the tokens of a whole batch, about its rows times the tokens of a row; it is cut into parts of about "
    "`train.tokens_at_once` tokens, which fit into memory",
)
_LENGTH = Ours("train.row_length", "the tokens of the longest row; longer ones are left out and counted, not cut")
_EPOCHS = Ours("train.epochs", "how often each row is seen; or give `train.steps`")
_MODEL = Ours("model", "the folder of a model, or hub:owner/name")
_DATA = Ours("build.tasks", "files or folders, read by a stage of kind build, which `data` of other stages names")
_OUT = Ours("", "the output goes to runs/<name>, with the `name` of the recipe; or to --out of `tunesmith run`")
_PRECISION = Ours("train.precision", "bf16, fp32 or auto; the weights themselves stay in fp32")
_LORA = Ours("train.adapter", "LoRA and its kin, as in adapter: {rank: 16}; without it all weights are trained")
_RANK = Ours("train.adapter.rank", "the width of LoRA's matrices")
_TARGETS = Ours("train.adapter.targets", "ends of names such as q_proj, or all, or attention")
_BITS = Ours("train.adapter.bits", "4 holds the frozen weights in four bits (QLoRA)")
_SCHEDULE = Ours("train.schedule", "wsd, linear or cosine")
_WARMUP = Ours("train.warmup", "the share of the steps in which the rate rises, from 0 to 1")
_ALWAYS_PACKED = Ours("", "rows are always packed, and none sees another")
_ANSWERS = Ours("", "only what the assistant says is learned; `learn` of a message says otherwise")
_CHAT = Ours("chat", "the chat format for a base that has none; without it the model's own is used")
_HELD = Ours("build.held_out", "a YAML file that says what is held out; without it, a tenth of the instances")
_RECOMPUTE = Ours("train.recompute", "layers are computed again in the backward pass")
_SHARD = Ours("train.shard", "the model is divided among the processes that torchrun starts (FSDP2)")
_LOGGED = Ours("", "every step is logged, in metrics.jsonl of the stage")
_VALIDATED = Ours("train.save_every", "at each checkpoint the loss on the rows of `train.validation` is measured")
_ATTENTION = Ours("", "the fastest attention that computes the same is chosen by itself")
_RESUMED = Ours("", "a run that was stopped goes on by itself; --again <stage> starts a stage anew")
_NO_PUSH = Ours("", "nothing is uploaded; a stage of kind export writes a folder for use elsewhere")
_NO_CODE = Ours("", "code that comes with a model is never run")
_BEST = Ours("train.keep", "best keeps the model with the lowest loss on the rows of `train.validation`")
_WORKERS = Ours("build.workers", "processes that share the work of a build; training needs none")
_KEPT = Ours("", "the newest two checkpoints are kept while a stage runs, and the model when it is done")

FOREIGN: dict[str, Ours] = {
    "accumulate_grad_batches": _BATCH,
    "adam_beta1": Ours("", "the betas are fixed at what works; see `train.optimizer`"),
    "assistant_only_loss": _ANSWERS,
    "attn_implementation": _ATTENTION,
    "base_model": _MODEL,
    "batch_size": _BATCH,
    "bf16": _PRECISION,
    "block_size": _LENGTH,
    "chat_template": _CHAT,
    "completion_only_loss": _ANSWERS,
    "cutoff_len": _LENGTH,
    "data_path": _DATA,
    "dataset": _DATA,
    "dataset_name": _DATA,
    "dataset_path": _DATA,
    "datasets": _DATA,
    "deepspeed": _SHARD,
    "do_train": Ours("", "each stage of the recipe runs; --only <stage> runs one and what it reads"),
    "eval_steps": _VALIDATED,
    "eval_strategy": _VALIDATED,
    "evaluation_strategy": _VALIDATED,
    "finetuning_type": _LORA,
    "flash_attention": _ATTENTION,
    "flash_attn": _ATTENTION,
    "fp16": _PRECISION,
    "fsdp": _SHARD,
    "global_batch_size": _BATCH,
    "grad_clip": Ours("train.clip", "the largest norm of the gradient; 0 switches clipping off"),
    "gradient_accumulation_steps": _BATCH,
    "gradient_checkpointing": _RECOMPUTE,
    "hub_model_id": _NO_PUSH,
    "learning_rate": Ours("train.lr", "the peak learning rate"),
    "load_in_4bit": _BITS,
    "load_in_8bit": _BITS,
    "logging_steps": _LOGGED,
    "lora": _LORA,
    "lora_alpha": Ours("train.adapter.alpha", "twice the rank where it is left out"),
    "lora_dropout": Ours("", "LoRA's matrices are trained without dropout"),
    "lora_r": _RANK,
    "lora_rank": _RANK,
    "lora_target": _TARGETS,
    "lora_target_modules": _TARGETS,
    "lr_scheduler": _SCHEDULE,
    "lr_scheduler_type": _SCHEDULE,
    "max_epochs": _EPOCHS,
    "max_grad_norm": Ours("train.clip", "the largest norm of the gradient; 0 switches clipping off"),
    "max_length": _LENGTH,
    "max_samples": Ours("mixture.most", "rows of a task that are used at all"),
    "max_seq_len": _LENGTH,
    "max_seq_length": _LENGTH,
    "max_steps": Ours("train.steps", "optimizer steps of the whole run"),
    "micro_batch_size": Ours("train.tokens_at_once", "the tokens that go through the model at once"),
    "mixed_precision": _PRECISION,
    "model_id": _MODEL,
    "model_max_length": _LENGTH,
    "model_name": _MODEL,
    "model_name_or_path": _MODEL,
    "model_path": _MODEL,
    "modules_to_save": _TARGETS,
    "n_epochs": _EPOCHS,
    "neftune_noise_alpha": Ours("train.noise", "noise on the embeddings; 5 is usual for few rows"),
    "num_epochs": _EPOCHS,
    "num_train_epochs": _EPOCHS,
    "optim": Ours("train.optimizer", "auto, muon, adamw or adamw8"),
    "output_dir": _OUT,
    "output_path": _OUT,
    "overwrite_output_dir": _RESUMED,
    "packing": _ALWAYS_PACKED,
    "pad_to_sequence_len": _ALWAYS_PACKED,
    "peft": _LORA,
    "per_device_eval_batch_size": _BATCH,
    "per_device_train_batch_size": _BATCH,
    "push_to_hub": _NO_PUSH,
    "quantization_bit": _BITS,
    "report_to": Ours("train.track", "tensorboard, wandb, trackio, mlflow"),
    "resume_from_checkpoint": _RESUMED,
    "sample_packing": _ALWAYS_PACKED,
    "save_steps": Ours("train.save_every", "steps between checkpoints"),
    "save_strategy": Ours("train.save_every", "steps between checkpoints"),
    "save_total_limit": _KEPT,
    "sequence_len": _LENGTH,
    "target_modules": _TARGETS,
    "template": _CHAT,
    "test_size": _HELD,
    "tokenizer_name": Ours("", "the tokenizer is the model's own"),
    "train_batch_size": _BATCH,
    "train_data": _DATA,
    "train_file": _DATA,
    "train_files": _DATA,
    "train_on_inputs": _ANSWERS,
    "trust_remote_code": _NO_CODE,
    "use_dora": Ours("train.adapter.dora", "true or false"),
    "use_flash_attention_2": _ATTENTION,
    "use_lora": _LORA,
    "use_peft": _LORA,
    "use_rslora": Ours("train.adapter.rs", "true or false"),
    "val_set_size": _HELD,
    "val_size": _HELD,
    "validation_split": _HELD,
    "warmup_ratio": _WARMUP,
    "warmup_steps": _WARMUP,
    "adapter_config": _LORA,
    "auto_resume_from_checkpoints": _RESUMED,
    "cutoff_length": _LENGTH,
    "dataloader_num_workers": _WORKERS,
    "dataset_num_proc": _WORKERS,
    "dataset_text_field": Ours("build.text", "plain text; rows of another shape name their columns in a task file"),
    "early_stopping_patience": _BEST,
    "eval_dataset": _HELD,
    "eval_steps_per_epoch": _VALIDATED,
    "fp32": _PRECISION,
    "gradient_clip_val": Ours("train.clip", "the largest norm of the gradient; 0 switches clipping off"),
    "gradient_checkpointing_kwargs": _RECOMPUTE,
    "group_by_length": _ALWAYS_PACKED,
    "load_best_model_at_end": _BEST,
    "lora_config": _LORA,
    "lora_modules_to_save": _TARGETS,
    "lora_target_linear": _TARGETS,
    "lr_scheduler_kwargs": _SCHEDULE,
    "max_input_length": _LENGTH,
    "max_prompt_length": _LENGTH,
    "max_sequence_length": _LENGTH,
    "max_tokens": _LENGTH,
    "metric_for_best_model": _BEST,
    "min_lr": _SCHEDULE,
    "neftune_alpha": Ours("train.noise", "noise on the embeddings; 5 is usual for few rows"),
    "num_cycles": _SCHEDULE,
    "num_steps": Ours("train.steps", "optimizer steps of the whole run"),
    "num_warmup_steps": _WARMUP,
    "peft_config": _LORA,
    "per_gpu_train_batch_size": _BATCH,
    "preprocessing_num_workers": _WORKERS,
    "pretrained_model_name_or_path": _MODEL,
    "qlora": _BITS,
    "quantization": _BITS,
    "quantization_config": _BITS,
    "response_template": _ANSWERS,
    "run_name": Ours("", "the recipe's `name` is the run's"),
    "seq_len": _LENGTH,
    "seq_length": _LENGTH,
    "train_dataset": _DATA,
    "train_on_prompt": _ANSWERS,
    "train_split": _HELD,
    "use_qlora": _BITS,
    "wandb_project": Ours("train.track", "tensorboard, wandb, trackio, mlflow; the environment names the project"),
    "zero_stage": _SHARD,
    "wd": Ours("train.weight_decay", "the decoupled decay of matrices"),
}

KINDS: dict[str, str] = {
    "lora": "sft, with `train: {adapter: {rank: 16}}`",
    "qlora": "sft, with `train: {adapter: {rank: 16, bits: 4}}`",
    "full": "sft, without an adapter",
    "finetune": "sft",
    "fine-tune": "sft",
    "instruct": "sft",
    "train": "sft, or pretrain for plain text",
    "tune": "sft",
    "pt": "pretrain",
    "cpt": "pretrain",
    "data": "build",
    "dataset": "build",
    "preprocess": "build",
    "evaluate": "eval",
    "test": "eval",
    "merge": "export; a trained model is merged already",
    "gguf": "export",
}
"""What other programs call the kinds of stages."""


def answer(name: str, top: bool = False) -> str:
    """The end of a sentence that says what a foreign setting is here; ``top`` where it stands outside of all stages."""
    ours = FOREIGN[name]
    if not ours.key:
        return f"; there is no such setting: {ours.what}"
    return f"; here it is `{ours.key}`{' of a stage' if top else ''}: {ours.what}"
