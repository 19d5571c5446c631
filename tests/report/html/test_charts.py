"""Charts: what is drawn, and that it stays small."""

import re

import pytest

from taskinity_data.report.html.charts import (
    Axis,
    Bar,
    Span,
    bars,
    bytes_axis,
    count_axis,
    lines,
    spans,
    time_axis,
)

TIME = time_axis("time", 10)


def marks(drawn, kind):
    found = re.findall(rf'<rect class="{kind}" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', drawn)
    return [(float(x), float(width)) for x, width in found]


def ticks(drawn, side):
    (found,) = re.findall(rf'<div class="{side}-ticks"[^>]*>(.*?)</div>', drawn)
    return re.findall(r">([^<]+)</span>", found)


def draw(heights, kind="time"):
    found = [Bar((("size", height),), f"n{at}") for at, height in enumerate(heights)]
    return bars(found, Axis("chunk", len(found)), "one", "T", "W.", unit=kind)


def test_a_span_lies_where_its_times_say_a_little_apart_from_the_next():
    drawn = spans([Span("w", 0, 5, "work", "a"), Span("w", 5, 10, "FAILED", "b")], TIME, "T", "W.")
    assert marks(drawn, "work") == [(0, 499.2)]
    assert marks(drawn, "FAILED") == [(500, 499.2)]
    assert "<title>b</title>" in drawn


def test_lanes_are_in_the_order_of_their_numbers_without_what_they_share_and_the_driver_last():
    names = ["driver", "host:7/t10", "host:7/t9"]
    drawn = spans([Span(name, 0, 1, "work", "") for name in names], TIME, "T", "W.")
    assert ticks(drawn, "y") == ["t9", "t10", "driver"]
    names = ["host:91850/0-Dask-Default-Threads-91850-1", "host:7/child"]
    drawn = spans([Span(name, 0, 1, "work", "") for name in names], TIME, "T", "W.")
    assert ticks(drawn, "y") == ["7/child", "91850/1"]


def test_of_thousands_of_spans_those_without_a_gap_are_one_mark_and_failures_are_seen():
    """Fifty thousand of 0.8 s in half an hour each, but for a pause of a tenth of the time."""
    found = [
        Span("w", at, at + 0.8, "work", "") for at in range(50_000) if not 20_000 < at < 25_000
    ]
    found.append(Span("w", 29_990.5, 29_990.6, "FAILED", "bad"))
    drawn = spans(found, time_axis("time", 50_000), "T", "W.")
    assert len(drawn) < 5_000
    assert marks(drawn, "work") == [(0, 400), (500, 500)]
    assert marks(drawn, "FAILED") == [(599.8, 2)]
    assert "<title>bad</title>" in drawn


def test_lanes_beyond_the_most_are_counted():
    drawn = spans([Span(f"w{n}", 0, 1, "work", "") for n in range(60)], TIME, "T", "W.")
    assert "12 more lanes not shown" in drawn


def test_a_bar_is_as_high_as_its_parts():
    found = [Bar((("read", 1.0), ("rest", 3.0)), "a")]
    drawn = bars(found, Axis("chunk", 1), "time", "T", "W.", unit="time")
    heights = dict(re.findall(r'<rect class="(\w+)"[^>]*height="([\d.]+)"', drawn))
    assert heights == {"read": "40.0", "rest": "120.0"}


def test_many_bars_become_means_with_the_highest_marked():
    drawn = draw([float(number % 10) for number in range(2_400)], "bytes")
    assert drawn.count("<rect") == 240
    assert drawn.count('class="most"') == 240
    assert "mean of 10 neighbours" in drawn
    assert "0 to 9; the highest: n9" in drawn


def test_a_few_that_take_far_longer_do_not_flatten_the_others():
    heights = [1.0] * 2_400
    heights[7] = 500.0
    drawn = draw(heights)
    assert max(float(text) for text in ticks(drawn, "y")) < 100
    assert "1 line cut off at the upper edge" in drawn
    assert "the highest: n7" in drawn


@pytest.mark.parametrize(
    ("axis", "title", "texts"),
    [
        (time_axis("time", 0.02), "time (ms)", ["0", "5", "10", "15", "20"]),
        (time_axis("time", 45.0), "time (s)", ["0", "20", "40"]),
        (time_axis("time", 500.0), "time (min)", ["0", "5"]),
        (time_axis("time", 86_400.0), "time (h)", ["0", "10", "20"]),
        (bytes_axis("size", 3.1e6), "size (MB)", ["0", "1", "2", "3"]),
        (count_axis("rows", 3_100), "rows", ["0", "1,000", "2,000", "3,000"]),
        (count_axis("rows", 3.1e5), "rows (thousands)", ["0", "100", "200", "300"]),
        (count_axis("rows", 3.1e7), "rows (millions)", ["0", "10", "20", "30"]),
    ],
)
def test_an_axis_has_round_numbers_and_its_unit_in_the_title(axis, title, texts):
    assert axis.title == title
    assert [text for _, text in axis.ticks()] == texts


def test_each_chart_has_the_titles_of_its_axes():
    drawn = lines([(0.0, 1.0)], time_axis("since", 2), bytes_axis("size", 1), "T", "W.")
    assert '<div class="y-title" aria-hidden="true">size (B)</div>' in drawn
    assert '<div class="x-title" aria-hidden="true">since (s)</div>' in drawn
