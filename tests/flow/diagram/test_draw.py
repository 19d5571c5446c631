"""What a flow's pictures show, and that no name or description can break out of them."""

import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskinity_data.flow.diagram.draw import draw_mermaid, to_ascii, to_mermaid, to_svg
from taskinity_data.flow.diagram.layout import Gaps, NodeSize, lay_out
from taskinity_data.flow.diagram.nodes import Node, Picture
from taskinity_data.flow.diagram.svg import draw_svg
from taskinity_data.flow.diagram.text import columns_of, draw_text
from taskinity_data.flow.flow import Flow
from taskinity_data.flow.model import Task
from taskinity_data.policy import Policy

SVG = "{http://www.w3.org/2000/svg}"


def picture(*nodes, edges=(), title="F", description=""):
    """A picture of nodes given as name or (name, width, description); edges are pairs of names."""
    whole = [(node, "", "") if isinstance(node, str) else node for node in nodes]
    ids = {name: f"n{number}" for number, (name, _, _) in enumerate(whole)}
    drawn = {ids[name]: Node(name, width, text, (name,)) for name, width, text in whole}
    return Picture(title, description, drawn, tuple((ids[a], ids[b]) for a, b in edges))


def siblings():
    chunks = tuple(f"ProcessChunk{number}" for number in range(1, 5))
    names = ("DataPreparation", *chunks, "AggregateResults")
    edges = [("DataPreparation", chunk) for chunk in chunks]
    edges += [(chunk, "AggregateResults") for chunk in chunks]
    return Flow("ParallelProcessingDemo", None, tuple(map(Task, names)), tuple(edges))


@st.composite
def graphs(draw, most=9):
    """Names and forward edges of an acyclic graph."""
    count = draw(st.integers(1, most))
    names = [f"T{chr(97 + index)}" for index in range(count)]
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    edges = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=14)) if pairs else []
    return names, edges


# --- layout ---------------------------------------------------------------------------------------


@given(graphs(14), st.data())
def test_no_two_boxes_of_a_layout_overlap_and_every_edge_points_down(graph, data):
    names, edges = graph
    sizes = {
        name: NodeSize(data.draw(st.integers(1, 60)), data.draw(st.integers(1, 9)))
        for name in names
    }
    layout = lay_out(sizes, edges, Gaps(across=3, along=2, edge=3))
    boxes = layout.boxes
    for index, one in enumerate(boxes):
        assert one.x >= 0
        assert one.x + one.width <= layout.width
        assert one.bottom <= layout.height
        for other in boxes[index + 1 :]:
            apart_across = one.x + one.width + 3 <= other.x or other.x + other.width + 3 <= one.x
            apart_along = one.bottom + 2 <= other.y or other.bottom + 2 <= one.y
            assert apart_across or apart_along
    assert all(boxes[link.source].bottom < boxes[link.target].y for link in layout.links)


@given(graphs(14))
def test_links_through_passing_points_lead_where_the_edges_lead(graph):
    names, edges = graph
    layout = lay_out(dict.fromkeys(names, NodeSize(5, 3)), edges, Gaps(3, 0, 3))
    following = {}
    for link in layout.links:
        following.setdefault(link.source, []).append(link.target)

    def ends(index):
        if layout.boxes[index].name is not None:
            return [layout.boxes[index].name]
        return [end for target in following[index] for end in ends(target)]

    found = [
        (layout.boxes[source].name, end)
        for source, targets in following.items()
        if layout.boxes[source].name is not None
        for target in targets
        for end in ends(target)
    ]
    assert sorted(found) == sorted(edges)


def test_a_chain_of_boxes_stands_in_one_straight_line():
    sizes = {"a": NodeSize(21, 3), "b": NodeSize(9, 3), "c": NodeSize(35, 3)}
    layout = lay_out(sizes, [("a", "b"), ("b", "c")], Gaps(3, 0, 3))
    assert len({box.middle for box in layout.boxes}) == 1


def test_edges_that_need_not_cross_do_not():
    edges = [("a", "z"), ("b", "y"), ("c", "x")]
    layout = lay_out(dict.fromkeys("abcxyz", NodeSize(5, 3)), edges, Gaps(3, 0, 3))
    column = {box.name: box.x for box in layout.boxes}
    assert [column[a] for a, _ in edges] == [column[b] for _, b in edges]


# --- text -----------------------------------------------------------------------------------------


def trace(text):
    """The edges that a reader sees: arrows to the box below, and the names after `after`."""
    boxes = re.findall(r"(▼\n)?\s*┌─+┐\n([^└]*)└", text)
    names, edges = [], set()
    for arrow, inside in boxes:
        lines = re.sub(r"[│├┤─]", " ", inside).split()
        if arrow:
            edges.add((names[-1], lines[0]))
        if "after" in lines:
            edges |= {(name.strip(","), lines[0]) for name in lines[lines.index("after") + 1 :]}
        names.append(lines[0])
    return edges


@given(graphs())
def test_arrows_and_names_of_the_text_are_exactly_the_edges(graph):
    names, edges = graph
    text = draw_text(picture(*names, edges=edges))
    assert trace(text) == set(edges)
    assert max(map(columns_of, text.splitlines())) <= 80


def test_text_of_a_usual_flow_fits_a_terminal_and_reads_as_drawn():
    flow = Flow(
        "Delays",
        "Mean delay of each carrier",
        (
            Task("DataPreparation", "Split the files"),
            Task("ProcessChunk", "Delays of one chunk", "*"),
            Task("AggregateResults"),
        ),
        (("DataPreparation", "ProcessChunk"), ("ProcessChunk", "AggregateResults")),
    )
    assert to_ascii(flow).splitlines() == [
        "Delays",
        "Mean delay of each carrier",
        "",
        "  ┌─────────────────┐",
        "  │ DataPreparation │",
        "  │ Split the files │",
        "  └─────────────────┘",
        "           ▼",
        "┌─────────────────────┐",
        "│  ProcessChunk [*]   │",
        "│ Delays of one chunk │",
        "├─────────────────────┤",
        "└─────────────────────┘",
        "           ▼",
        " ┌───────────────────┐",
        " │ AggregateResults  │",
        " └───────────────────┘",
    ]


def test_wide_and_combining_characters_keep_the_box_closed():
    flow = Flow("F", None, (Task("東京タスク", "cafe\u0301 au lait"),))
    drawn = to_ascii(flow).splitlines()[2:]
    assert len({columns_of(line) for line in drawn}) == 1
    assert all(line[0] in "┌│└" and line[-1] in "┐│┘" for line in drawn)


def test_numbered_siblings_are_drawn_as_one_stack_of_their_number():
    text = to_ascii(siblings())
    assert "ProcessChunk ×4" in text
    assert "ProcessChunk1 to ProcessChunk4" in text
    assert trace(text.replace(" ×4", "   ")) == {
        ("DataPreparation", "ProcessChunk"),
        ("ProcessChunk", "AggregateResults"),
    }


def test_numbered_tasks_with_different_neighbours_stay_apart():
    names = ("Start", "Step1", "Step2", "End")
    edges = (("Start", "Step1"), ("Step1", "Step2"), ("Step2", "End"))
    assert trace(to_ascii(Flow("F", None, tuple(map(Task, names)), edges))) == set(edges)


def test_a_fallback_task_says_what_it_stands_in_for():
    tasks = (Task("Work", policy=Policy(on_error="Other")), Task("End"), Task("Other"))
    text = to_ascii(Flow("F", None, tasks, (("Work", "End"),)))
    assert "replaces Work on failure" in re.sub(r"[│\s]+", " ", text)


def test_control_characters_in_descriptions_do_not_reach_the_terminal():
    text = to_ascii(Flow("F", "a\x1b[31mb\nc\u202ed", (Task("T", "\x9b2J\r\x1b]0;x\x07"),)))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)


# --- SVG ------------------------------------------------------------------------------------------

HOSTILE = (
    '<script>alert("1")</script>',
    "</text></svg><img src=x onerror=alert(1)>",
    "&lt;&amp;]]>",
    "\"'`--%>",
    "\x00\x0b\ud800\ufffe",
    '"]; click n0 href "javascript:alert(1)"',
    "%%{init: {'securityLevel': 'loose'}}%%",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_svg_holds_hostile_texts_as_texts_alone(text):
    flow = Flow("F", text, (Task("A", text), Task("B", text, width="*")), (("A", "B"),))
    root = ET.fromstring(to_svg(flow))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {
        "svg", "title", "desc", "style", "g", "rect", "path", "text"
    }  # fmt: skip
    names = {name for element in root.iter() for name in element.attrib}
    assert not {name for name in names if name.startswith("on") or name.endswith("href")}


@given(st.text(max_size=200))
def test_svg_of_any_description_is_well_formed(text):
    ET.fromstring(to_svg(Flow("F", text, (Task("T", text, width=3),))))


def test_svg_would_hold_hostile_names_too_as_texts_alone():
    name = "</text><script>x</script>"
    root = ET.fromstring(draw_svg(picture(name, title=name)))
    assert root.find(f"{SVG}title").text == name
    assert [text.text for text in root.iter(f"{SVG}text")] == [name]


def test_svg_names_and_describes_itself_for_those_who_cannot_see_it():
    root = ET.fromstring(to_svg(siblings()))
    assert root.get("role") == "img"
    assert root.find(f"{SVG}title").text == "ParallelProcessingDemo"
    assert root.find(f"{SVG}desc").text == (
        "DataPreparation leads to ProcessChunk ×4. ProcessChunk ×4 leads to AggregateResults."
    )


def test_svg_styles_nothing_outside_of_itself_and_has_colours_for_dark_pages():
    style = ET.fromstring(to_svg(siblings())).find(f"{SVG}style").text
    media, dark = style.split("@media (prefers-color-scheme:dark){")
    rules = re.findall(r"^([^{}\n]+)\{", media + dark, re.MULTILINE)
    assert rules
    assert all(rule.startswith(".taskinity-flow ") for rule in rules)


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_svg_texts_and_lines_have_the_contrast_that_accessibility_asks_for():
    style = ET.fromstring(to_svg(siblings())).find(f"{SVG}style").text
    for part in style.split("@media"):
        fills = re.findall(r"rect\{fill:(#\w{6})", part)
        text = re.search(r"text\{fill:(#\w{6})", part)[1]
        assert len(fills) == 2
        assert all(contrast(fill, text) >= 7 for fill in fills)
    line = re.search(r"stroke:(#\w{6});stroke-width:1.6", style)[1]
    assert contrast(line, "#ffffff") >= 3
    assert contrast(line, "#000000") >= 3


@given(graphs(6))
def test_svg_boxes_do_not_overlap(graph):
    names, edges = graph
    root = ET.fromstring(draw_svg(picture(*names, edges=edges)))
    boxes = [
        [float(rect.get(key)) for key in ("x", "y", "width", "height")]
        for rect in root.iter(f"{SVG}rect")
    ]
    assert len(boxes) == len(names)
    for index, (x, y, w, h) in enumerate(boxes):
        for x2, y2, w2, h2 in boxes[index + 1 :]:
            assert x + w <= x2 or x2 + w2 <= x or y + h <= y2 or y2 + h2 <= y


# --- Mermaid --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_mermaid_label_cannot_be_left_by_what_it_holds(text):
    flow = Flow("F", text, (Task("A", text, width=2), Task("B", text)), (("A", "B"),))
    lines = to_mermaid(flow).splitlines()
    assert lines[0] == "flowchart TD"
    for line in lines[1:]:
        assert re.fullmatch(
            r'    (acc(Title|Descr): [^#%;<>]*|n\d(\[\["|\[")[^"`&>%]*("\]\]|"\])|n0 --> n1)',
            line.replace("<br/>", ""),
        ), line


def test_mermaid_label_comes_back_as_the_text_that_it_was():
    label = re.search(r'n0\["(.*)"\]', draw_mermaid(picture('a "b" & <c> #1 50%')))[1]
    assert re.sub(r"#(\d+);", lambda found: chr(int(found[1])), label) == 'a "b" & <c> #1 50%'


def test_mermaid_draws_numbered_siblings_as_one_double_sided_node():
    assert to_mermaid(siblings()).splitlines()[3:] == [
        '    n0["DataPreparation"]',
        '    n1[["ProcessChunk ×4<br/>ProcessChunk1 to ProcessChunk4"]]',
        '    n2["AggregateResults"]',
        "    n0 --> n1",
        "    n1 --> n2",
    ]


def test_a_task_that_only_a_late_one_needs_stands_right_above_it():
    names = ("A", "B", "C", "D", "Names", "Read")
    edges = (("A", "B"), ("B", "C"), ("C", "D"), ("Read", "Names"), ("Names", "D"))
    laid = lay_out(dict.fromkeys(names, NodeSize(10, 1)), edges, Gaps(2, 1, 1))
    rows = [[laid.boxes[index].name for index in row] for row in laid.layers]
    assert list(map(sorted, rows)) == [["A"], ["B", "Read"], ["C", "Names"], ["D"]]
