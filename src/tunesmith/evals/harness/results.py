"""Their samples as our records, so that ``eval diff``, pages and statistics work on them; our records in their shape.

records = records_of(results, "my")             results of ``simple_evaluate`` with its samples
results_of(records)                             {"results": {task: {"alias": ..., "acc,none": ...}}, ...}
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tunesmith.evals.records import LESS_IS_BETTER, Record, rate
from tunesmith.evals.statistics.intervals import standard_error

NAMES = {"exact_match": "exact_match,none", "options": "acc,none", "options_norm": "acc_norm,none"}
"""Our metrics by their names; others keep theirs."""


def records_of(results: Mapping[str, Any], model: str) -> list[Record]:
    """A record for each sample and each of its metrics that is a figure."""
    found = []
    for task, samples in results["samples"].items():
        shots = int(results.get("n-shot", {}).get(task) or 0)
        for sample in samples:
            calls = _calls(sample["arguments"])
            prompt = str(calls[0][0]) if calls and calls[0] else ""
            said = sample["filtered_resps"]
            # The delimiter before an option is no part of it.
            options = tuple(str(call[1]).lstrip() for call in calls if len(call) > 1)
            ranked = len(options) > 1 and all(_likely(one) is not None for one in said)
            done: set[str] = set()
            likely = tuple(x for one in said if (x := _likely(one)) is not None) if ranked else ()
            for name in sample["metrics"]:
                value = sample.get(name)
                if isinstance(value, tuple) and len(value) == 2 and "perplexity" in name:
                    name, value = "bits_per_byte", -value[0] / (value[1] * math.log(2))
                    if name in done:
                        continue
                    done.add(name)
                if not isinstance(value, int | float):
                    continue
                found.append(
                    Record(
                        id=f"{task}/{sample['doc_id']}",
                        model=model,
                        level="asked",
                        format="instruction",
                        shots=shots,
                        metric=name if sample.get("filter", "none") == "none" else f"{name},{sample['filter']}",
                        task=task,
                        cluster="",
                        template=f"{task}/harness",
                        language="en",
                        group=f"{task}/{sample['doc_id']}",
                        prompt=prompt,
                        answer=options[max(range(len(likely)), key=likely.__getitem__)] if ranked else _text(said),
                        gold=(_gold(sample["target"], options),),
                        value=float(value),
                        finished=True,
                        options=options if ranked else (),
                        likely=likely,
                    )
                )
    return found


def results_of(records: Sequence[Record]) -> dict[str, Any]:
    """The figures of one model's answers as lm-evaluation-harness writes them."""
    tasks: dict[str, dict[str, Any]] = {}
    counts: dict[str, dict[str, int]] = {}
    shots: dict[str, int] = {}
    kinds: dict[tuple[str, int, str], list[Record]] = {}
    for record in records:
        kinds.setdefault((record.task, record.shots, record.metric), []).append(record)
    several = {task for task, _, _ in kinds if len({s for t, s, _ in kinds if t == task}) > 1}
    for (task, shown, metric), mine in kinds.items():
        name = f"{task}_{shown}shot" if task in several else task
        got = rate(mine)
        figures = tasks.setdefault(name, {"alias": name})
        key = NAMES.get(metric, f"{metric},none")
        figures[key] = got.value
        figures[key.replace(",", "_stderr,", 1)] = _error(mine)
        counts[name] = {"original": got.n, "effective": got.n}
        shots[name] = shown
    metrics = {name: {key.partition(",")[0] for key in found if "_stderr" not in key} for name, found in tasks.items()}
    return {
        "results": tasks,
        "n-shot": shots,
        "n-samples": counts,
        "higher_is_better": {
            name: {metric: metric not in LESS_IS_BETTER for metric in found - {"alias"}}
            for name, found in metrics.items()
        },
        "model_name": records[0].model if records else "",
    }


def _error(records: Sequence[Record]) -> float | str:
    """The standard error; where none can be had they write N/A."""
    error = standard_error([r.value for r in records], [r.group for r in records])
    return "N/A" if math.isnan(error) else error


def _calls(value: Any) -> list[list[Any]]:
    """The arguments of each call; the harness writes lists, or names such as ``gen_args_0`` and ``arg_0``."""
    if isinstance(value, Mapping):
        ordered = (call for _, call in sorted(value.items()))
        return [[v for _, v in sorted(call.items())] if isinstance(call, Mapping) else [call] for call in ordered]
    return [list(one) if isinstance(one, list | tuple) else [one] for one in value]


def _likely(said: Any) -> float | None:
    if isinstance(said, list | tuple) and len(said) == 2:
        try:
            return float(said[0])
        except (TypeError, ValueError):
            return None
    return None


def _gold(target: Any, options: Sequence[str]) -> str:
    text = str(target)
    if text.isdigit() and int(text) < len(options):
        return options[int(text)]
    return text


def _text(said: Any) -> str:
    if isinstance(said, list | tuple) and len(said) == 1:
        return _text(said[0])
    return said if isinstance(said, str) else json.dumps(said, ensure_ascii=False, default=str)
