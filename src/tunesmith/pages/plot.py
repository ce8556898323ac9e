"""Plots as HTML and inline SVG: no library, no script, readable on a phone, in light and dark.

    bars([Bar("New clusters", [Mark(0.93, 0.9, 0.95, "tuned")])])     rates in rows, with intervals
    lines([Line("tuned", [(0, 3.2), (100, 0.4)])])                    one value against another

Positions are percentages of the space there is, so a plot is as wide as its place and its text stays text.
Colours are named by what they stand for (``base``, ``tuned`` ...) and come from the page's style.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup, escape


@dataclass(frozen=True, slots=True)
class Mark:
    """A figure with its interval, in the colour of what it stands for."""

    value: float
    low: float
    high: float
    series: str
    title: str = ""
    """What a reader sees who points at it."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of a plot: a label, and figures on one scale from 0 to 1."""

    label: str
    marks: tuple[Mark, ...]
    note: str = ""
    reading: str = ""
    """The figures in words, at the end of the row."""
    aside: str = ""
    """What is said under them."""


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a curve; without an interval ``low`` and ``high`` are None."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    title: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A curve, in the colour of what it stands for."""

    series: str
    points: tuple[Point, ...]
    label: str = ""
    faint: bool = False


def percent(value: float) -> str:
    """``97 %``; with a decimal where rounding would say "all" or "none" and it is not."""
    if math.isnan(value):
        return "–"
    shown = 100 * value
    near = 0 < abs(shown) < 1 or 99 < shown < 100
    return f"{shown:.1f}\u00a0%" if near else f"{shown:.0f}\u00a0%"


def dots(rows: Sequence[Bar]) -> Markup:
    """Rows of dots with intervals, joined from the first to the last: before and after."""
    return _rows(rows, _dumbbell, "dots")


def bars(rows: Sequence[Bar]) -> Markup:
    """Rows of bars from 0, with intervals."""
    return _rows(rows, _bar, "bars")


def _rows(rows: Sequence[Bar], draw: Callable[[tuple[Mark, ...]], str], kind: str) -> Markup:
    grid = "".join(f'<line class="grid" x1="{x}%" x2="{x}%" y1="0" y2="100%"/>' for x in (0, 25, 50, 75, 100))
    out = [f'<div class="plot-rows {kind}" role="list">']
    for row in rows:
        spoken = ", ".join(m.title or f"{m.series}: {percent(m.value)}" for m in row.marks)
        note = f'<span class="note">{escape(row.note)}</span>' if row.note else ""
        aside = f'<span class="aside">{escape(row.aside)}</span>' if row.aside else ""
        out.append(
            f'<div class="plot-row" role="listitem"><div class="label"><span>{escape(row.label)}</span>{note}</div>'
            f'<div class="track"><svg role="img" aria-label="{escape(row.label)}: {escape(spoken)}">'
            f"{grid}{draw(row.marks)}</svg></div>"
            f'<div class="reading">{escape(row.reading)}{aside}</div></div>'
        )
    ticks = "".join(f'<span style="left:{x}%">{x}{" %" if x == 100 else ""}</span>' for x in (0, 25, 50, 75, 100))
    out.append(f'<div class="plot-row axis" aria-hidden="true"><div></div><div class="ticks">{ticks}</div></div></div>')
    return Markup("".join(out))


def _dumbbell(marks: tuple[Mark, ...]) -> str:
    parts = []
    if len(marks) > 1:
        a, b = marks[0], marks[-1]
        parts.append(f'<line class="join" x1="{_p(a.value)}" x2="{_p(b.value)}" y1="50%" y2="50%"/>')
    for m in marks:
        parts.append(
            f'<g class="s-{escape(m.series)}"><title>{escape(m.title)}</title>'
            f'<line class="interval" x1="{_p(m.low)}" x2="{_p(m.high)}" y1="50%" y2="50%"/>'
            f'<circle class="dot" cx="{_p(m.value)}" cy="50%" r="6.5"/></g>'
        )
    return "".join(parts)


def _bar(marks: tuple[Mark, ...]) -> str:
    height = 66 / max(1, len(marks))
    parts = []
    for i, m in enumerate(marks):
        top, middle = 17 + i * height, 17 + (i + 0.5) * height
        parts.append(
            f'<g class="s-{escape(m.series)}"><title>{escape(m.title)}</title>'
            f'<rect class="bar" x="0" y="{top + 2:.1f}%" width="{_p(max(m.value, 0.002))}" '
            f'height="{height - 4:.1f}%" rx="2"/>'
            f'<line class="whisker" x1="{_p(m.low)}" x2="{_p(m.high)}" y1="{middle:.1f}%" y2="{middle:.1f}%"/>'
            + "".join(
                f'<line class="whisker" x1="{_p(x)}" x2="{_p(x)}" y1="{middle - 9:.1f}%" y2="{middle + 9:.1f}%"/>'
                for x in (m.low, m.high)
            )
            + "</g>"
        )
    return "".join(parts)


def _p(value: float) -> str:
    return f"{100 * min(1.0, max(0.0, value)):.2f}%"


def lines(
    curves: Sequence[Line],
    *,
    x_label: str,
    y_label: str = "",
    y_range: tuple[float, float] | None = None,
    y_percent: bool = False,
    x_ticks: Sequence[float] | None = None,
    dots: bool = False,
) -> Markup:
    """Curves on one pair of axes; intervals as whiskers where points have them."""
    points = [p for c in curves for p in c.points]
    if not points:
        return Markup()
    x_low, x_high = min(p.x for p in points), max(p.x for p in points)
    y_low, y_high = y_range or _bounds([p.y for p in points])
    pad = 0.04 * (x_high - x_low or 1.0) if dots else 0.0
    x_low, x_high = x_low - pad, x_high + pad

    def px(x: float) -> float:
        return 100 * (x - x_low) / ((x_high - x_low) or 1.0)

    def py(y: float) -> float:
        return 100 * (1 - (min(max(y, y_low), y_high) - y_low) / ((y_high - y_low) or 1.0))

    y_ticks = _ticks(y_low, y_high)
    x_marks = list(x_ticks) if x_ticks is not None else _ticks(x_low, x_high)
    grid = "".join(f'<line class="grid" x1="0" x2="100%" y1="{py(t):.2f}%" y2="{py(t):.2f}%"/>' for t in y_ticks)
    paths, marks, legend = [], [], []
    for c in curves:
        faint = " faint" if c.faint else ""
        path = "M" + "L".join(f"{px(p.x):.2f} {py(p.y):.2f}" for p in c.points)
        paths.append(f'<path class="line s-{escape(c.series)}{faint}" d="{path}"/>')
        for p in c.points if dots else ():
            at, title = f"{px(p.x):.2f}%", f"<title>{escape(p.title)}</title>"
            whisker = ""
            if p.low is not None and p.high is not None:
                whisker = f'<line class="interval" x1="{at}" x2="{at}" y1="{py(p.high):.2f}%" y2="{py(p.low):.2f}%"/>'
            dot = f'<circle class="dot" cx="{at}" cy="{py(p.y):.2f}%" r="5"/>'
            marks.append(f'<g class="s-{escape(c.series)}">{title}{whisker}{dot}</g>')
        if c.label:
            legend.append(f'<span class="key s-{escape(c.series)}">{escape(c.label)}</span>')
    left = "".join(f'<span style="top:{py(t):.2f}%">{percent(t) if y_percent else _number(t)}</span>' for t in y_ticks)
    below = "".join(f'<span style="left:{px(t):.2f}%">{_number(t)}</span>' for t in x_marks)
    spoken = "; ".join(
        f"{c.label or y_label or c.series}: {_say(c.points[0].y, y_percent)} → {_say(c.points[-1].y, y_percent)}"
        for c in curves
        if c.points and not c.faint
    )
    if y_label:
        legend.append(f'<span class="y-label">{escape(y_label)}</span>')
    return Markup(
        '<figure class="chart">'
        f'<div class="legend">{"".join(legend)}</div>'
        f'<div class="frame"><div class="y-ticks" aria-hidden="true">{left}</div>'
        f'<div class="area" role="img" aria-label="{escape(spoken)}"><svg class="under">{grid}</svg>'
        f'<svg class="curves" viewBox="0 0 100 100" preserveAspectRatio="none">{"".join(paths)}</svg>'
        f'<svg class="over">{"".join(marks)}</svg></div>'
        f'<div class="x-ticks" aria-hidden="true">{below}</div>'
        f'<div class="x-label">{escape(x_label)}</div></div></figure>'
    )


def smoothed(points: Sequence[Point], most: int = 240) -> tuple[Point, ...]:
    """A long noisy curve as at most ``most`` means of neighbours."""
    n = len(points)
    if n <= most:
        return tuple(points)
    ends = [round(k * n / most) for k in range(most + 1)]
    parts = [points[a:b] for a, b in pairwise(ends)]
    return tuple(Point(part[-1].x, sum(p.y for p in part) / len(part)) for part in parts)


def trend(points: Sequence[Point], window: int = 9) -> tuple[Point, ...]:
    """The running median: a noisy curve's course, that a single spike does not bend."""
    half = window // 2
    out = []
    for i, p in enumerate(points):
        near = sorted(q.y for q in points[max(0, i - half) : i + half + 1])
        out.append(Point(p.x, near[len(near) // 2]))
    return tuple(out)


def _bounds(values: Sequence[float]) -> tuple[float, float]:
    finite = [v for v in values if math.isfinite(v)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    low = 0.0 if 0 <= low < 0.5 * high else low
    step = _step(low, high)
    return math.floor(low / step) * step, math.ceil(high / step) * step


def _step(low: float, high: float, count: int = 4) -> float:
    raw = (high - low) / count or 1.0
    size = 10 ** math.floor(math.log10(raw))
    return float(next(k * size for k in (1, 2, 2.5, 5, 10) if k * size >= raw * 0.999))


def _ticks(low: float, high: float) -> list[float]:
    step = _step(low, high)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 or value == int(value) else f"{value:g}"


def _say(value: float, as_percent: bool) -> str:
    return percent(value) if as_percent else f"{value:.3g}"
