"""Graph → groups of nodes that one loop nest will compute together.

A group has one iteration space. It is led by a contraction, a reduction or an elementwise node; further elementwise
nodes join the group that made their latest input, if they use it element for element, so that a bias, an
activation and its derivative end up in the contraction's nest and a whole optimizer step in one loop. A node whose
value is used outside of its group is *stored*; all others live in registers.

Needs: a simplified graph. Gives: ``Plan``, from which ``lower`` writes the nests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from chainrule.compiler.layout import as_stored, is_dense, is_widening, layout, reads_through, regroups, row_major
from chainrule.cost import COSTLY
from chainrule.graph import Graph, Node
from chainrule.ops.declare import CONSTANT

ANCHORS = frozenset(("contract", "reduce", "custom", "scan", "while", "switch", "concatenate", "pad",
                     "scatter_add", "project"))
SLOW = ("div", "sqrt", "mod", "floor_divide")  # not costly, but nothing to do twice
SEVERAL = frozenset(("scan", "while", "switch"))  # they hold graphs, and have several results


@dataclass(eq=False)
class Group:
    """Nodes that one nest computes. ``lead`` is a contraction, reduction or other anchor; None: elementwise."""

    number: int
    shape: tuple[int, ...] | None
    lead: Node | None
    nodes: list[Node] = field(default_factory=list)
    before: int = 0  # bit g is set if this group needs, directly or not, what group g makes
    reads: int = 0  # bit g is set if it reads what group g makes

    @property
    def bit(self) -> int:
        return 1 << self.number


@dataclass
class Plan:
    """What fusion decided about a graph."""

    graph: Graph
    groups: list[Group]
    group: dict[Node, Group]
    stored: set[Node]  # nodes that need memory of their own
    users: dict[Node, list[Node]]


def plan_fusion(graph: Graph, strides: Mapping[Node, tuple[int, ...]]) -> Plan:
    """Group the nodes of ``graph``, whose inputs lie in memory with the given strides."""
    return _Fusion(graph, strides).run()


class _Fusion:
    def __init__(self, graph: Graph, strides: Mapping[Node, tuple[int, ...]]) -> None:
        self.graph, self.strides = graph, strides
        self.inputs = set(graph.inputs)
        self.users: dict[Node, list[Node]] = {n: [] for n in graph.nodes}
        for node in graph.nodes:
            for i in node.inputs:
                self.users[i].append(node)
        self.outputs = set(graph.outputs)
        self.forced: set[Node] = set()  # must be in memory: read by something that takes only buffers
        self.roots: set[Node] = set()  # views that are copied to memory of their own
        self.absorbed: set[Node] = set()
        self.groups: list[Group] = []
        self.group: dict[Node, Group] = {}

    def run(self) -> Plan:
        for node in self.graph.nodes:
            self._force(node)
        for node in self.graph.nodes:
            if node.op.kind == "reduce":
                self._absorb(node.inputs[0], {node})
        for node in self.graph.nodes:
            if node not in self.inputs and not self._read_by_contractions(node):
                self._place(node)
        for group in self.groups:
            self._keep_one(group)
        for node in self.graph.nodes:
            self._recompute(node)
        for node in self.graph.nodes:
            self._sink(node)
        stored = {n for n in self.group if self._is_stored(n)}
        return Plan(self.graph, self._ordered(), self.group, stored, self.users)

    # -- what must be in memory

    def _force(self, node: Node) -> None:
        kind = node.op.kind
        if kind in SEVERAL or kind in ("contract", "custom"):
            for i in node.inputs:
                self._memory(as_stored(i) if kind == "contract" else i, contiguous=kind == "custom")
        elif kind == "reshape" and regroups(node):
            self._memory(node.inputs[0], contiguous=True)
        elif kind == "scatter_add":
            self._memory(node.inputs[0])
        elif kind == "take" and len(self.users[node]) > 1:
            self.roots.add(node)

    def _memory(self, node: Node, contiguous: bool = False) -> None:
        """Make sure that ``node`` is memory, seen through views; ``contiguous`` if its user counts elements."""
        where = layout(node, self.roots | self.inputs, lambda n: self.strides.get(n) or row_major(n.shape))
        if (
            where is None
            or (contiguous and not is_dense(node.shape, where.strides))
            or (where.base.op.kind in ("iota", "take"))
            or _is_scalar_constant(where.base)
        ):
            self.roots.add(node)
        else:
            self.forced.add(where.base)

    def _read_by_contractions(self, node: Node) -> bool:
        """Whether half numbers become float32 for contractions alone, which convert what they read."""
        return is_widening(node) and node not in self.outputs and all(u.op.kind == "contract" for u in self.users[node])

    # -- elementwise nodes that only one reduction reads are computed inside of it

    def _absorb(self, node: Node, readers: set[Node]) -> None:
        if node in self.outputs or node in self.forced or node in self.roots or node in self.inputs:
            return
        if any(u not in readers for u in self.users[node]):
            return
        if node.op.kind == "elementwise" or (node.op.kind in ("view", "take") and not _repeats(node)):
            self.absorbed.add(node)
            readers.add(node)
            for i in node.inputs:
                self._absorb(i, readers)

    # -- groups

    def _place(self, node: Node) -> None:
        kind = node.op.kind
        if kind == "elementwise" and node not in self.absorbed:
            self._join(node)
        elif kind == "project":
            self.group[node] = self.group[node.inputs[0]]
        elif kind in ANCHORS:
            self._new(node, node.shape if kind in ("contract", "reduce") else None, node)
        elif node in self.roots or (node in self.outputs and kind != "constant"):
            if not (kind == "reshape" and node not in self.roots):
                self._new(node, node.shape, None)

    def _new(self, node: Node, shape: tuple[int, ...] | None, lead: Node | None) -> None:
        group = Group(len(self.groups), shape, lead)
        self.groups.append(group)
        self._add(node, group)

    def _add(self, node: Node, group: Group) -> None:
        """Make ``node`` part of ``group``, and let everything after the group come after what the node needs."""
        group.nodes.append(node)
        self.group[node] = group
        needs = 0
        for source, _ in self._sources(node, True):
            needs |= source.before | source.bit
            group.reads |= source.bit
        needs &= ~group.bit
        for g in self.groups:
            if g is group or g.before & group.bit:
                g.before |= needs

    def _sources(self, node: Node, same: bool) -> Iterator[tuple[Group, bool]]:
        """The groups that make what ``node`` reads, and whether it is read element for element."""
        for i in node.inputs:
            if i in self.group:
                yield self.group[i], same
            elif i not in self.inputs:
                yield from self._sources(i, same and i.op.kind == "elementwise")

    def _join(self, node: Node) -> None:
        """The latest group of the same space that makes an input; else an elementwise group of that space.

        Of those one that reads the same values is best: they are in the caches then.
        """
        sources = list(self._sources(node, True))
        crossing = {g.number for g, same in sources if not same}
        makers = [g for g, same in sources if same]
        makers.sort(key=lambda g: g.number, reverse=True)
        read = sum(g.bit for g in {g for g, _ in sources})
        others = sorted((g for g in reversed(self.groups) if g.lead is None), key=lambda g: not g.reads & read)
        for g in (*makers, *others):
            if g.shape != node.shape or g.number in crossing or not self._welcome(g, node):
                continue
            if any(source is not g and source.before & g.bit for source, _ in sources):
                continue  # an input is made from what g makes, after it
            self._add(node, g)
            return
        self._new(node, node.shape, None)

    def _ordered(self) -> list[Group]:
        """The groups in an order that respects what they need, otherwise as they were begun."""
        done, order, rest = 0, [], [g for g in self.groups if g.nodes]
        empty = sum(g.bit for g in self.groups if not g.nodes)
        while rest:
            g = next(g for g in rest if not g.before & ~(done | empty))
            rest.remove(g)
            done |= g.bit
            order.append(g)
        return order

    def _welcome(self, group: Group, node: Node) -> bool:
        if group.lead is None:
            return group.nodes[0].op.kind == "elementwise" and not self._waits(group, node)
        if group.lead.op.kind not in ("contract", "reduce"):
            return False
        return (node.op.name not in COSTLY or node.size == 1) and all(self._plain(i) for i in node.inputs)

    def _waits(self, group: Group, node: Node) -> bool:
        """Whether ``node`` is costly and needs another costly one of the group, which has several already.

        The processor looks ahead some 200 instructions. Where a turn of the loop is that long and one chain of waiting,
        there is nothing to do beside it: two loops are faster, each over several turns at a time.
        """
        if node.op.name not in COSTLY or sum(n.op.name in COSTLY for n in group.nodes) < 2:
            return False
        rest, seen = [node], {node}
        while rest:
            for i in rest.pop().inputs:
                if i not in seen and (self.group.get(i) is group or i.op.kind == "view"):
                    if i.op.name in COSTLY:
                        return True
                    seen.add(i)
                    rest.append(i)
        return False

    def _plain(self, node: Node) -> bool:
        """Whether reading ``node`` is reading memory or registers: no positions, no indirect access."""
        if node in self.inputs or node in self.group:
            return True
        return node.op.kind not in ("iota", "take") and all(self._plain(i) for i in node.inputs)

    # -- several cheap functions of one value: the value is stored, and they are computed where they are read

    def _keep_one(self, group: Group) -> None:
        """Before: ``z = a·b + c; t = z/2; u = z·z`` with t and u stored. After: z is, and t and u are no statements."""
        cheap = [n for n in group.nodes if self._is_stored(n) and self._may_move(n)]
        if len(cheap) < 2:
            return
        made = {z: [n for n in cheap if n is not z and self._made_of(n, z)] for z in group.nodes}
        z = max(reversed(group.nodes), key=lambda z: len(made[z]))
        if len(made[z]) > (not self._is_stored(z)):
            self.forced.add(z)
            for n in made[z]:
                group.nodes.remove(n)
                del self.group[n]

    def _may_move(self, node: Node, readers: tuple[str, ...] = ("elementwise",)) -> bool:
        if node.op.kind != "elementwise" or node.op.name in COSTLY or node in self.outputs or node in self.forced:
            return False
        return node not in self.roots and all(u.op.kind in readers for u in self.users[node])

    def _made_of(self, node: Node, z: Node) -> bool:
        """Whether ``node`` is a cheap function of ``z`` and scalars."""
        if node is z or node.op.name == "broadcast" and _is_scalar_constant(node.inputs[0]):
            return True
        return (self.group.get(node) is self.group[z] and node.op.kind == "elementwise" and node.op.name not in COSTLY
                and all(self._made_of(i, z) for i in node.inputs))

    # -- a cheap function of one array and of small ones, as x - mean, is computed anew wherever it is read

    def _recompute(self, node: Node) -> None:
        group = self.group.get(node)
        if group is None or not self._is_stored(node) or not self._may_move(node, ("elementwise", "reduce")):
            return
        leaves = self._leaves(node, node.size)
        halves = is_widening(node) and node.inputs[0] in self.group  # half numbers are stored as such
        if halves or leaves is not None and len(leaves) == 1 and node.size > 1:
            group.nodes.remove(node)
            del self.group[node]

    def _leaves(self, node: Node, size: int, depth: int = 4) -> set[Node] | None:
        """The arrays of at least ``size`` elements that a node is computed from; None if it is not cheap to do so."""
        if node.op.kind == "constant" or node in self.inputs or node in self.group and depth < 4:
            if node in self.group and not self._is_stored(node):
                return None
            return {node} if node.size >= size else set()
        if depth == 0 or node.op.name in (*COSTLY, *SLOW) or not (node.op.kind == "elementwise" or reads_through(node)):
            return None
        found: set[Node] = set()
        for i in node.inputs:
            below = self._leaves(i, size, depth - (node.op.kind == "elementwise"))
            if below is None:
                return None
            found |= below
        return found

    # -- a cheap node that only a later group reads is computed there, if that takes no further memory

    def _sink(self, node: Node) -> None:
        group = self.group.get(node)
        if group is None or node.op.kind != "elementwise" or node.op.name in COSTLY or not self._is_stored(node):
            return
        if node in self.outputs or node in self.forced or node in self.roots:
            return
        users = self.users[node]
        targets = {self.group.get(u) for u in users}
        if len(targets) != 1 or group in targets or any(u.op.kind != "elementwise" for u in users):
            return
        target = targets.pop()
        if target is not None and target.lead is not None and not all(self._plain(i) for i in node.inputs):
            return  # as in _welcome: what a contraction makes is finished from memory and registers alone
        if all(self._at_hand(i) for i in node.inputs):
            group.nodes.remove(node)
            del self.group[node]

    def _at_hand(self, node: Node) -> bool:
        """Whether a value can be read anywhere later without storing it for that."""
        if node in self.inputs or node.op.kind in ("constant", "iota"):
            return True
        if node in self.group:
            return node.op.kind == "project" or self._is_stored(node)
        if reads_through(node):
            return self._at_hand(node.inputs[0])
        return node.op.kind == "elementwise" and all(self._at_hand(i) for i in node.inputs)

    def _is_stored(self, node: Node) -> bool:
        if node in self.outputs or node in self.forced or node in self.roots:
            return True
        if isinstance(node.dtype, tuple):
            return False
        return any(self.group.get(u) is not self.group[node] for u in self.users[node])


def _is_scalar_constant(node: Node) -> bool:
    return node.op is CONSTANT and node.size == 1


def _repeats(node: Node) -> bool:
    return node.op.name == "broadcast" and node.size > node.inputs[0].size
