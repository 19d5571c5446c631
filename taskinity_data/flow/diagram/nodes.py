"""What of a flow is drawn: one node a task, numbered siblings folded into one, and the edges.

It knows nothing of lines, pixels or text formats. Names are identifiers, which the model sees to;
descriptions may hold anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskinity_data.flow.fan_outs import find_nodes
from taskinity_data.flow.language.keywords import write_number
from taskinity_data.policy import ON_ERROR

if TYPE_CHECKING:
    from taskinity_data.flow.fan_outs import FlowNode
    from taskinity_data.flow.model import FlowGraph
    from taskinity_data.policy import Policy

__all__ = ["Node", "Picture", "picture_of"]

# Characters that XML forbids, or that would move a terminal's cursor or turn the text's direction.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\uffff\ud800-\udfff]+"
)


@dataclass(frozen=True, slots=True)
class Node:
    """One task, or a fan-out, as it is drawn.

    `width` says how often it runs: ``""`` once, ``"[*]"`` once a chunk, ``"×8"`` eight times.
    `members` are the names of the tasks that it stands for. Texts hold no control characters.
    `state` is what became of it, as a class of the drawing: ``completed``, ``failed``, ``skipped``.
    `policy` says what is done about failures, where that was asked for.
    """

    name: str
    width: str
    description: str
    members: tuple[str, ...]
    state: str = ""
    policy: str = ""

    @property
    def label(self) -> str:
        """Name and width on one line."""
        return f"{self.name} {self.width}" if self.width else self.name

    @property
    def is_fan_out(self) -> bool:
        """Whether it runs more than once, side by side."""
        return bool(self.width)


@dataclass(frozen=True, slots=True)
class Picture:
    """A flow as nodes by an id (``"n0"`` …) and edges between ids."""

    title: str
    description: str
    nodes: dict[str, Node]
    edges: tuple[tuple[str, str], ...]

    def in_words(self) -> str:
        """The description, and what leads where, as sentences for those who can't see it."""
        steps = [f"{self.nodes[a].label} leads to {self.nodes[b].label}." for a, b in self.edges]
        lone = set(self.nodes) - {end for edge in self.edges for end in edge}
        steps += [f"{node.label} stands alone." for key, node in self.nodes.items() if key in lone]
        return " ".join(filter(None, [self.description, *steps]))


def picture_of(flow: FlowGraph) -> Picture:
    """The picture of `flow`: numbered siblings are one node; a fallback says whose it is."""
    places = find_nodes(flow)
    ids = {place.name: f"n{number}" for number, place in enumerate(places)}
    nodes = {ids[place.name]: _node_of(place) for place in places}
    edges = [(ids[before], ids[place.name]) for place in places for before in place.upstreams]
    for task in flow.tasks:
        if task.name in flow.fallbacks:
            owners = [one.name for one in flow.tasks if one.fallback == task.name]
            told = f"instead of {', '.join(owners)}, where that fails. {task.description or ''}"
            policy = _tell_policy(task.policy)
            nodes[f"n{len(nodes)}"] = Node(
                task.name, "", _printable(told), (task.name,), policy=policy
            )
    return Picture(flow.name, _printable(flow.description), nodes, tuple(edges))


def _node_of(place: FlowNode) -> Node:
    members = tuple(task.name for task in place.tasks)
    described = place.tasks[0].description
    if place.is_siblings:
        described = f"{members[0]} to {members[-1]}"
    width = place.width
    times = "" if width is None else "[*]" if width == "*" else f"×{width}"
    policies = dict.fromkeys(_tell_policy(task.policy) for task in place.tasks)
    told = next(iter(policies)) if len(policies) == 1 else "policies differ"
    return Node(place.name, times, _printable(described), members, policy=told)


def _tell_policy(policy: Policy) -> str:
    """``"3 retries · timeout 30 s · or Lenient"``; nothing where a failure just fails."""
    told = []
    if policy.retries:
        told.append(f"{policy.retries} {'retry' if policy.retries == 1 else 'retries'}")
    if policy.timeout_s is not None:
        told.append(f"timeout {write_number(policy.timeout_s)} s")
    if policy.on_error in ON_ERROR:
        told += [] if policy.on_error == "fail" else [str(policy.on_error)]
    else:
        told.append(f"or {policy.on_error if isinstance(policy.on_error, str) else 'a fallback'}")
    return " · ".join(told)


def _printable(text: str | None) -> str:
    return " ".join(_UNPRINTABLE.sub(" ", text or "").split())
