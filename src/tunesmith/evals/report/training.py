"""The sections of a report that say how its model came about: data, training, machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tunesmith.core.errors import EvalError
from tunesmith.evals.records import LEVEL_NAMES
from tunesmith.evals.report.data import HeldOutView, LossCurve, MixtureRow
from tunesmith.evals.report.mask import Drawn, mask_fragment
from tunesmith.pages import plot
from tunesmith.pages.plot import Line, Point
from tunesmith.pages.words import Words

METER = Markup(
    '<span class="meter" aria-hidden="true"><i style="width:{:.2f}%"></i><u style="left:{:.2f}%"></u></span>'
)
"""A bar for a share, and a tick for the share that was asked for. The figures stand beside it."""


def mask(drawn: Drawn) -> dict[str, Any]:
    learned = sum(t.count for t in drawn.tokens if t.learn)
    return {
        "title": drawn.title,
        "tokens": mask_fragment(drawn.tokens),
        "learned": learned,
        "count": sum(t.count for t in drawn.tokens),
    }


def held_out(view: HeldOutView | None, t: Words) -> dict[str, Any] | None:
    if view is None:
        return None
    lists = [
        {"name": t("Whole clusters"), "ids": view.clusters, "open": True},
        {"name": t("Tasks of seen clusters"), "ids": view.tasks, "open": len(view.tasks) <= 12},
        {"name": t("Wordings of trained tasks"), "ids": view.wordings, "open": False},
        {"name": t("Instances, by group"), "ids": view.groups, "open": False},
    ]
    names = {"train": t("Training"), **{level: t(name) for level, (name, _) in LEVEL_NAMES.items()}}
    counts = [{"name": names.get(k, k), "rows": f"{v:,}"} for k, v in view.counts.items()]
    return {"lists": [x for x in lists if x["ids"]], "counts": counts, "proof": view.proof}


def ledger(ledger: Mapping[str, Any] | None, t: Words) -> dict[str, Any] | None:
    if not ledger:
        return None
    steps = []
    for step in ledger["steps"]:
        out, aside = sum(step["out"].values()), sum(step["aside"].values())
        if out + aside != step["rows_in"]:
            raise EvalError(
                f"The ledger of {step['name']!r} does not balance: {step['rows_in']} in, {out} out, {aside} set aside."
            )
        names = {level: t(name) for level, (name, _) in LEVEL_NAMES.items()} | {"train": t("Training")}
        flows = [{"name": names.get(k, k).lower(), "rows": v, "aside": False} for k, v in step["out"].items()]
        flows += [{"name": k, "rows": v, "aside": True} for k, v in step["aside"].items()]
        for flow in flows:
            flow["width"] = 100 * flow["rows"] / max(1, step["rows_in"])
        steps.append({"name": step["name"], "rows_in": step["rows_in"], "out": out, "aside": aside, "flows": flows})
    return {"steps": steps, "rows": list(ledger.get("set_aside", ()))[:100], "more": len(ledger.get("set_aside", ()))}


def mixture(rows: Sequence[MixtureRow]) -> dict[str, Any] | None:
    if not rows:
        return None
    most = max(max(r.asked, r.realised) for r in rows) or 1.0
    ordered = sorted(rows, key=lambda r: -r.realised)
    shown = [
        {
            "name": r.name,
            "rows": f"{r.rows:,}",
            "asked": f"{100 * r.asked:.2f} %",
            "realised": f"{100 * r.realised:.2f} %",
            "epochs": "" if r.epochs is None else f"{r.epochs:.1f}",
            "meter": METER.format(100 * r.realised / most, 100 * r.asked / most),
        }
        for r in ordered
    ]
    gap = max(abs(r.asked - r.realised) for r in rows)
    return {"rows": shown, "gap": f"{100 * gap:.2f}"}


def loss(curve: LossCurve, t: Words) -> dict[str, Any]:
    raw = plot.smoothed([Point(float(s), v) for s, v in zip(curve.steps, curve.losses, strict=True)])
    course = plot.trend(raw)
    lines = [Line("tuned", raw, faint=True), Line("tuned", course)]
    last = course[-1].y
    return {
        "name": curve.name,
        "plot": plot.lines(lines, x_label=t("step"), y_label=t("loss")),
        "start": f"{curve.losses[0]:.2f}",
        "end": f"{last:.2f}" if last >= 0.1 else f"{last:.3f}",
        "steps": f"{curve.steps[-1]:,}",
    }


def run(run: Mapping[str, Any], t: Words) -> dict[str, Any]:
    machine = dict(run.get("machine") or {})
    packages = dict(machine.pop("packages", None) or {})
    stages = []
    found = dict(run.get("stages") or {})
    longest = max((float(s.get("seconds") or 0) for s in found.values()), default=0.0) or 1.0
    for id, stage in found.items():
        seconds = float(stage.get("seconds") or 0)
        peak = stage.get("peak_mb")
        stages.append(
            {
                "id": id,
                "kind": stage.get("kind", ""),
                "seconds": f"{seconds:,.1f} s",
                "peak": f"{float(peak) / 1024:.1f} GB" if peak else "",
                "meter": METER.format(100 * seconds / longest, -9),
            }
        )
    total = sum(float(s.get("seconds") or 0) for s in found.values())
    minutes, rest = divmod(round(total), 60)
    facts = {k: v for k, v in run.items() if isinstance(v, str | int | float) and k != "text" and v != ""}
    return {
        "facts": facts,
        "machine": machine,
        "packages": packages,
        "stages": stages,
        "total": t("{m} min {s} s", m=minutes, s=f"{rest:02d}") if minutes else t("{s} s", s=rest),
        "text": run.get("text") or "",
        "version": packages.get("tunesmith", ""),
    }
