"""Reduce a flow to what is drawn: one node a task, numbered siblings as one, and the edges.

Names are identifiers, which the model checks; descriptions may hold any characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from taskinity_data.flow.keywords import write_number
from taskinity_data.flow.model import find_nodes
from taskinity_data.policy import ON_ERROR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskinity_data.flow.model import FlowGraph, FlowNode
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
    `members` are the names of the tasks that it represents. Texts hold no control characters.
    `state` is its status, as a class of the drawing: ``completed``, ``failed``, ``skipped``.
    `policy` describes what is done about failures, if the task has options for it.
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
        """Return the description and the edges as sentences, for people who can't see pictures."""
        steps = [f"{self.nodes[a].label} leads to {self.nodes[b].label}." for a, b in self.edges]
        lone = set(self.nodes) - {end for edge in self.edges for end in edge}
        steps += [f"{node.label} stands alone." for key, node in self.nodes.items() if key in lone]
        return " ".join(filter(None, [self.description, *steps]))

    def with_labels(self, labels: Mapping[str, str]) -> Picture:
        """Return it with `labels` for names, without the nodes that have none."""
        nodes = {
            key: replace(node, name=_printable(labels[node.name]))
            for key, node in self.nodes.items()
            if node.name in labels
        }
        edges = tuple(edge for edge in self.edges if nodes.keys() >= set(edge))
        return replace(self, title=labels.get(self.title, self.title), nodes=nodes, edges=edges)


def picture_of(flow: FlowGraph) -> Picture:
    """Return the picture of `flow`.

    Numbered siblings are one node; the description of a fallback names the tasks that it replaces.
    """
    flow_nodes = find_nodes(flow)
    ids = {flow_node.name: f"n{number}" for number, flow_node in enumerate(flow_nodes)}
    nodes = {ids[flow_node.name]: _node_of(flow_node) for flow_node in flow_nodes}
    edges = [
        (ids[before], ids[flow_node.name])
        for flow_node in flow_nodes
        for before in flow_node.upstreams
    ]
    for task in flow.tasks:
        if task.name in flow.fallbacks:
            owners = [owner.name for owner in flow.tasks if owner.fallback == task.name]
            description = f"replaces {', '.join(owners)} on failure. {task.description or ''}"
            policy = _describe_policy(task.policy)
            nodes[f"n{len(nodes)}"] = Node(
                task.name, "", _printable(description), (task.name,), policy=policy
            )
    return Picture(flow.name, _printable(flow.description), nodes, tuple(edges))


def _node_of(flow_node: FlowNode) -> Node:
    members = tuple(task.name for task in flow_node.tasks)
    described = flow_node.tasks[0].description
    if flow_node.is_siblings:
        described = f"{members[0]} to {members[-1]}"
    width = flow_node.width
    times = "" if width is None else "[*]" if width == "*" else f"×{width}"
    policies = dict.fromkeys(_describe_policy(task.policy) for task in flow_node.tasks)
    policy = next(iter(policies)) if len(policies) == 1 else "policies differ"
    return Node(flow_node.name, times, _printable(described), members, policy=policy)


def _describe_policy(policy: Policy) -> str:
    """Return ``"3 retries · timeout 30 s · or Lenient"``; an empty text if a failure just fails."""
    parts = []
    if policy.retries:
        parts.append(f"{policy.retries} {'retry' if policy.retries == 1 else 'retries'}")
    if policy.timeout_s is not None:
        parts.append(f"timeout {write_number(policy.timeout_s)} s")
    if policy.on_error in ON_ERROR:
        parts += [] if policy.on_error == "fail" else [str(policy.on_error)]
    else:
        parts.append(f"or {policy.on_error if isinstance(policy.on_error, str) else 'a fallback'}")
    return " · ".join(parts)


def _printable(text: str | None) -> str:
    return " ".join(_UNPRINTABLE.sub(" ", text or "").split())
