"""Plots say in positions what the figures are."""

from __future__ import annotations

import re

import pytest

from tunesmith.pages.plot import Bar, Line, Mark, Point, bars, dots, lines, percent, smoothed, trend


@pytest.mark.parametrize(
    ("value", "want"),
    [(0.0, "0 %"), (1.0, "100 %"), (0.734, "73 %"), (0.996, "99.6 %"), (0.004, "0.4 %"), (float("nan"), "–")],
)
def test_percent(value: float, want: str) -> None:
    assert percent(value).replace("\u00a0", " ") == want


def test_a_row_of_dots_by_hand() -> None:
    html = dots([Bar("New <b>", (Mark(0.1, 0.05, 0.2, "base"), Mark(0.9, 0.8, 1.0, "tuned", "tuned: 90 %")))])
    assert re.findall(r'cx="([\d.]+)%"', html) == ["10.00", "90.00"]
    intervals = re.findall(r'class="interval" x1="([\d.]+)%" x2="([\d.]+)%"', html)
    assert intervals == [("5.00", "20.00"), ("80.00", "100.00")]
    assert "New &lt;b&gt;" in html and "<b>" not in html
    assert "<title>tuned: 90 %</title>" in html


def test_a_bar_is_as_long_as_its_figure() -> None:
    html = bars([Bar("x", (Mark(0.4, 0.3, 0.5, "tuned"),))])
    assert re.findall(r'class="bar".*?width="([\d.]+)%"', html) == ["40.00"]


def test_a_curve_by_hand() -> None:
    line = Line("tuned", (Point(0, 0.0), Point(5, 0.5), Point(10, 1.0)), "tuned")
    html = lines([line], x_label="clusters", y_range=(0, 1), y_percent=True)
    assert re.search(r' d="(M[^"]+)"', html).group(1) == "M0.00 100.00L50.00 50.00L100.00 0.00"  # type: ignore[union-attr]
    assert "clusters" in html and ">100\u00a0%<" in html
    assert lines([], x_label="x") == ""


def test_a_flat_or_single_point_curve_can_be_drawn() -> None:
    for points in ((Point(3, 0.0),), (Point(1, 2.0), Point(2, 2.0)), (Point(1, float("nan")), Point(2, 1.0))):
        assert "<path" in lines([Line("tuned", points)], x_label="x", dots=True)


def test_smoothing_keeps_the_end_and_the_trend_ignores_a_spike() -> None:
    points = [Point(i, 1.0) for i in range(1000)]
    few = smoothed(points, 100)
    assert len(few) == 100 and few[-1].x == 999 and {p.y for p in few} == {1.0}
    spiked = [Point(i, 50.0 if i == 10 else 1.0) for i in range(20)]
    assert {p.y for p in trend(spiked)} == {1.0}
