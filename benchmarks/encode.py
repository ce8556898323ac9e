"""How fast conversations become ids and masks: tunesmith, `tokenizers` alone, and TRL's preparation.

    python benchmarks/encode.py [--rows 20000] [--repeats 5] [--peer-python .venv-peers/bin/python]

The same conversations, the same 32k byte-level BPE tokenizer and the same ChatML template on all sides:

- tunesmith: message dictionaries in, ids and learn mask as flat arrays out;
- raw: `tokenizers.encode_batch` over strings that are already rendered, ids only, its own thread pool on;
- TRL: `SFTTrainer._prepare_dataset` over the same dictionaries with assistant-only loss, in one process and
  in two (the faster counts).

The sides take turns, so that a slow spell of the machine hits all of them. The ids are compared first. The
last line is one JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parents[1]
GENERATION = (
    "{%- for message in messages -%}{%- if message['role'] == 'assistant' -%}{{ '<|im_start|>assistant\\n' }}"
    "{%- generation -%}{{ message['content'] + '<|im_end|>' }}{%- endgeneration -%}{{ '\\n' }}{%- else -%}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{%- endif -%}{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
)
"""ChatML with the tags that TRL needs to find the answers; it renders the same text."""


def t0_conversations(n: int) -> list[list[dict[str, str]]]:
    """The first ``n`` rows of the T0 mixture as one-turn conversations."""
    path = ROOT.parent / "shared" / "data" / "t0_train_50k.jsonl.gz"
    if not path.exists():
        raise SystemExit(f"{path} not found: this benchmark needs the T0 rows.")
    out = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            prompt, answer = row["prompt"], row["completion"]
            if prompt.strip() and answer.strip():
                out.append([{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}])
            if len(out) == n:
                break
    return out


def gpt2_style(texts: Iterable[str], size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE with GPT-2's word pattern, the common case."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|end|>", clean_up_tokenization_spaces=False)


def _mask(row: dict) -> list[int]:
    if "assistant_masks" in row:
        return list(map(int, row["assistant_masks"]))
    return [int(label != -100) for label in row["labels"]]


def peer(folder: Path, repeats: int) -> None:
    """The TRL side; runs in the peers' environment and speaks JSON lines on stdout."""
    import datasets
    import torch
    import trl
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    datasets.disable_progress_bars()
    datasets.disable_caching()
    torch.manual_seed(0)
    tok = AutoTokenizer.from_pretrained(folder)
    tok.chat_template = GENERATION
    tok.pad_token = tok.eos_token
    rows = [json.loads(line) for line in (folder / "rows.jsonl").open(encoding="utf-8")]
    config = LlamaConfig(
        vocab_size=len(tok), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1
    )
    model = LlamaForCausalLM(config)
    seconds: list[float] = []
    original = trl.SFTTrainer._prepare_dataset

    def timed(self, *args, **kwargs):  # type: ignore[no-untyped-def]
        began = time.perf_counter()
        out = original(self, *args, **kwargs)
        seconds.append(time.perf_counter() - began)
        return out

    trl.SFTTrainer._prepare_dataset = timed
    for line in sys.stdin:
        workers = int(line)
        args = trl.SFTConfig(
            output_dir=str(folder / "out"),
            assistant_only_loss=True,
            max_length=None,
            dataset_num_proc=workers if workers > 1 else None,
            use_cpu=True,
            report_to=[],
            bf16=False,
        )
        data = datasets.Dataset.from_list([{"messages": m} for m in rows])
        trainer = trl.SFTTrainer(model=model, args=args, train_dataset=data, processing_class=tok)
        tokens = sum(len(r) for r in trainer.train_dataset["input_ids"])
        sample = [trainer.train_dataset[i] for i in range(0, len(rows), max(1, len(rows) // 50))]
        answer = {
            "seconds": seconds[-1],
            "tokens": tokens,
            "ids": [s["input_ids"] for s in sample],
            "learn": [_mask(s) for s in sample],
            "versions": {n: metadata.version(n) for n in ("trl", "transformers", "datasets", "tokenizers")},
        }
        print("PEER " + json.dumps(answer), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peer-python", default=str(ROOT / ".venv-peers/bin/python"))
    parser.add_argument("--peer", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        peer(args.peer, args.repeats)
        return

    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    from tunesmith.chat import ChatFormat

    conversations = t0_conversations(args.rows)
    print(f"{len(conversations):,} conversations; training a 32k tokenizer ...", flush=True)
    texts = (m["content"] for c in conversations[:12_000] for m in c)
    fmt = ChatFormat.named("chatml", gpt2_style(texts, 32_000))
    rendered = [fmt.tok.apply_chat_template(c, tokenize=False) for c in conversations]
    backend = fmt.tok.backend_tokenizer

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fmt.tok.save_pretrained(folder)
        with (folder / "rows.jsonl").open("w", encoding="utf-8") as out:
            out.writelines(json.dumps(c) + "\n" for c in conversations)
        command = [args.peer_python, __file__, "--peer", str(folder), "--repeats", str(args.repeats)]
        quiet = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
        trl = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=quiet
        )
        assert trl.stdin is not None and trl.stdout is not None

        def ask_trl(workers: int) -> dict:
            trl.stdin.write(f"{workers}\n")
            trl.stdin.flush()
            for line in trl.stdout:
                if line.startswith("PEER "):
                    return json.loads(line[5:])
            raise SystemExit("the TRL side stopped; run it by hand: " + " ".join(command))

        ours: list[float] = []
        raw: list[float] = []
        theirs: dict[int, list[float]] = {1: [], 2: []}
        many, answer = None, {}
        fmt.encode_many(conversations[:100])  # load what loads on first use
        backend.encode_batch(rendered[:100], add_special_tokens=False)
        for turn in range(args.repeats):
            began = time.perf_counter()
            many = fmt.encode_many(conversations)
            ours.append(time.perf_counter() - began)
            began = time.perf_counter()
            encoded = backend.encode_batch(rendered, add_special_tokens=False)
            raw.append(time.perf_counter() - began)
            if turn == 0:
                want = [i for e in encoded for i in e.ids]
                if many.ids.tolist() != want:
                    raise SystemExit("tunesmith's ids differ from tokenizers' ids")
            del encoded
            for workers in theirs if turn < 3 else ():
                answer = ask_trl(workers)
                theirs[workers].append(answer["seconds"])
        trl.stdin.close()
        trl.wait()
    assert many is not None
    step = max(1, len(conversations) // 50)
    for n, i in enumerate(range(0, len(conversations), step)):
        row = many[i]
        if row.ids.tolist() != answer["ids"][n] or row.learn.astype(int).tolist() != answer["learn"][n]:
            raise SystemExit(f"conversation {i}: tunesmith and TRL differ")

    tokens = len(many.ids)
    seconds = {
        "tunesmith": statistics.median(ours),
        "tokenizers": statistics.median(raw),
        "trl": min(statistics.median(s) for s in theirs.values()),
    }
    result = {
        "benchmark": "encode",
        "conversations": len(conversations),
        "tokens": tokens,
        "engine": fmt.words.engine,
        **{f"{k}_tokens_per_s": round(tokens / s) for k, s in seconds.items()},
        "ratio_tokenizers": round(seconds["tokenizers"] / seconds["tunesmith"], 2),
        "ratio_trl": round(seconds["trl"] / seconds["tunesmith"], 2),
        "repeats": {"tunesmith": len(ours), "trl": len(theirs[1])},
        "trl_workers": min(theirs, key=lambda w: statistics.median(theirs[w])),
        "cores": os.cpu_count(),
        "versions": {
            "ours": {n: metadata.version(n) for n in ("tunesmith", "fastokens", "tokenizers", "transformers")},
            "peer": answer["versions"],
        },
    }
    for side, s in seconds.items():
        print(f"{side:>12}: {tokens / s / 1e6:7.2f} M tokens/s  ({s:.2f} s)")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
