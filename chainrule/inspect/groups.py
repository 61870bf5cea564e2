"""Nodes that are drawn as one: layers, loops, steps, branches; in large programs without any, stretches of lines.

A scope that is entered twice (a layer that a model uses in two places) is two groups: a group never has a way out of it
and back in, so folded pictures have no false circles.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path as FilePath

from chainrule.graph import Node
from chainrule.inspect.unfold import Flat, Path, Place
from chainrule.ops.declare import INPUT

_LOOSE, _STRETCH = 120, 40  # nodes without a group up to which they stay so; how many make one at least


@dataclass(eq=False)
class Group:
    """Attributes:
    number: from 0, parents before children.
    parent: the group around it.
    place: what it stands for.
    """

    number: int
    parent: Group | None
    place: Place

    @property
    def above(self) -> list[Group]:
        """The groups around this one, the outermost first, and itself."""
        return [*(self.parent.above if self.parent else []), self]


def grouped(flat: Flat, shown: Iterable[Node]) -> tuple[list[Group], dict[Node, Group | None]]:
    """The groups, and the innermost one of each node."""
    groups: list[Group] = []
    current: dict[tuple[Group | None, Place], Group] = {}
    of: dict[Node, Group | None] = {}
    lines = _stretches(flat, shown)
    reach: dict[Node, int] = {}  # bits of the groups that lead to a node
    for node in flat.nodes:
        before = 0
        for i in node.inputs:
            before |= reach[i]
        group: Group | None = None
        for place in lines.get(node, flat.path[node]):
            known = current.get((group, place))
            if known is None or _returns(node, known, reach, of):
                known = Group(len(groups), group, place)
                groups.append(known)
                current[group, place] = known
            group = known
        of[node] = group
        reach[node] = before | sum(1 << g.number for g in (group.above if group else []))
    for node in flat.nodes:
        if node.op is INPUT and is_weight(node):
            of[node] = _common([of[n] for n in flat.nodes if node in n.inputs])
    used = {g.number for n in shown for g in (of[n].above if of[n] else [])}  # type: ignore[union-attr]
    return [g for g in groups if g.number in used], of


def _stretches(flat: Flat, shown: Iterable[Node]) -> dict[Node, Path]:
    """Groups for nodes that have none, if they are many: nodes that follow each other, called by their lines."""
    loose = [n for n in shown if not flat.path[n] and n.inputs]
    if len(loose) <= _LOOSE:
        return {}
    size = max(_STRETCH, len(loose) // _LOOSE + 1)
    paths: dict[Node, Path] = {}
    for k in range(0, len(loose), size):
        part = loose[k:k + size]
        files = {n.source.file for n in part if n.source is not None and n.source.line}
        numbers = [n.source.line for n in part if n.source is not None and n.source.line]
        title = f"operations {k + 1}–{k + len(part)}"
        if len(files) == 1:
            first, last = min(numbers), max(numbers)
            title = f"{FilePath(files.pop()).name}:{first}" + (f"–{last}" if last > first else "")
        paths |= dict.fromkeys(part, (Place("lines", title, k),))
    return paths


def _returns(node: Node, group: Group, reach: dict[Node, int], of: dict[Node, Group | None]) -> bool:
    """Whether ``node`` depends on ``group`` by a way that leaves it."""
    bit = 1 << group.number
    return any(reach[i] & bit and group not in (of[i].above if of[i] else []) for i in node.inputs)  # type: ignore[union-attr]


def is_weight(node: Node) -> bool:
    """Whether an input is a weight of a layer: ``dense/kernel``."""
    return "/" in (node.name or "") and "'" not in (node.name or "")


def _common(groups: list[Group | None]) -> Group | None:
    chains = [g.above if g else [] for g in groups]
    found = None
    for level in zip(*chains, strict=False):
        if any(g is not level[0] for g in level):
            break
        found = level[0]
    return found


__all__ = ["Group", "Path", "grouped", "is_weight"]
