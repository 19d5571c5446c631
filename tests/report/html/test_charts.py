"""Charts: what is drawn, and that it stays small."""

import re
import xml.etree.ElementTree as ET

import pytest

from taskinity_data.report.html.charts import Bar, Span, bars, lines, spans
from taskinity_data.wording import format_nbytes, format_seconds


def marks(drawn, kind):
    return re.findall(rf'<rect class="{kind}" x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', drawn)


def labels(drawn):
    (svg,) = re.findall(r"<svg.*</svg>", drawn, re.DOTALL)
    texts = ET.fromstring(svg).iter("text")
    return [one.text for one in texts]


def test_a_span_lies_where_its_times_say():
    drawn = spans([Span("w", 0, 5, "work", "a"), Span("w", 5, 10, "FAILED", "b")], 10, "T", "W.")
    assert marks(drawn, "work") == [("84.0", "432.0")]
    assert marks(drawn, "FAILED") == [("516.0", "432.0")]
    assert "<title>b</title>" in drawn


def test_lanes_are_in_the_order_of_their_numbers_without_what_they_share_and_the_driver_last():
    names = ["driver", "host:7/t10", "host:7/t9"]
    drawn = spans([Span(name, 0, 1, "work", "") for name in names], 1, "T", "W.")
    assert labels(drawn)[-3:] == ["t9", "t10", "driver"]
    names = ["host:91850/0-Dask-Default-Threads-91850-1", "host:7/child"]
    drawn = spans([Span(name, 0, 1, "work", "") for name in names], 1, "T", "W.")
    assert labels(drawn)[-2:] == ["7/child", "91850/1"]


def test_thousands_of_spans_become_shares_of_time():
    found = [Span("w", at, at + 0.5, "work", "") for at in range(3_200)]
    found.append(Span("w", 2_990.5, 2_991, "FAILED", ""))
    drawn = spans(found, 3_200, "T", "W.")
    assert len(drawn) < 60_000
    assert "50 % busy" in drawn
    assert len(marks(drawn, "odd")) == 1
    assert "1 retried, failed, skipped or replaced" in drawn


def test_lanes_beyond_the_most_are_counted():
    drawn = spans([Span(f"w{n}", 0, 1, "work", "") for n in range(60)], 1, "T", "W.")
    assert "12 more lanes not shown" in drawn


def test_a_bar_is_as_high_as_its_parts():
    drawn = bars([Bar((("read", 1.0), ("rest", 3.0)), "a")], "T", "W.", format_y=format_seconds)
    heights = dict(re.findall(r'<rect class="(\w+)"[^>]*height="([\d.]+)"', drawn))
    assert heights == {"read": "45.0", "rest": "135.0"}


def test_many_bars_become_means_with_the_highest_marked():
    found = [Bar((("size", float(number % 10)),), f"n{number}") for number in range(1_000)]
    drawn = bars(found, "T", "W.", format_y=format_nbytes, max_bars=100)
    assert drawn.count("<rect") == 100
    assert drawn.count("<circle") == 100
    assert "mean of 10 neighbours" in drawn
    assert "0 to 9; the highest: n9" in drawn


@pytest.mark.parametrize(
    ("stop", "told"),
    [
        (0.02, ["0", "5 ms", "10 ms", "15 ms", "20 ms"]),
        (45.0, ["0", "10.0 s", "20.0 s", "30.0 s", "40.0 s"]),
        (500.0, ["0", "2 min 0 s", "4 min 0 s", "6 min 0 s", "8 min 0 s"]),
        (86_400.0, ["0", "5 h 0 min", "10 h 0 min", "15 h 0 min", "20 h 0 min"]),
    ],
)
def test_times_below_a_chart_are_round(stop, told):
    drawn = spans([Span("w", 0, stop, "work", "")], stop, "T", "W.")
    assert labels(drawn)[: len(told)] == told


def test_several_lines_have_a_legend_and_one_has_an_area():
    draw = {"format_x": format_seconds, "format_y": format_nbytes, "stop": 2.0}
    one = lines({"a": [(0.0, 1.0)]}, "T", "W.", **draw)
    two = lines({"a": [(0.0, 1.0)], "b<": [(1.0, 2.0)]}, "T", "W.", **draw)
    assert 'class="area"' in one
    assert "legend" not in one
    assert 'class="area"' not in two
    assert "b&lt;</li>" in two


def test_thousands_of_points_are_thinned_to_the_highest_of_neighbours():
    points = [(float(at), float(at == 5_000)) for at in range(10_000)]
    draw = {"format_x": format_seconds, "format_y": format_nbytes, "stop": 10_000.0}
    drawn = lines({"a": points}, "T", "W.", **draw)
    assert len(drawn) < 30_000
    assert "V8.0" in drawn


def test_charts_of_nothing_are_drawn():
    assert "<svg" in spans([], 0.0, "T", "W.")
    assert "<svg" in bars([], "T", "W.", format_y=format_seconds)
