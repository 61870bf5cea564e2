"""How a statement is cut for threads: along one axis of its outputs, in units that its loops do not split.

A unit is what one turn of a loop computes (a register tile, a few vectors, a row), whole and in one order. So the
results are the same for any number of threads: only who computes a unit differs. Sums are never split.

Needs: a scheduled nest, a planned contraction, a loop whose turns are independent, or a kernel over a batch. Gives: a
:class:`Cut`, or None where one thread does best.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

from chainrule.compiler.contraction_plan import Plan
from chainrule.compiler.loops import (
    Apply,
    Axis,
    Buffer,
    Contract,
    Custom,
    Load,
    Loop,
    Nest,
    Statement,
    expressions,
    reads,
    roots,
    writes,
)
from chainrule.compiler.schedule import Band, Machine, Schedule, schedule
from chainrule.cost import COSTLY

WORTH = 6_000  # cycles of a statement from which on it is shared out; to hand out parts takes about 1,200
GRAIN = 4  # chunks for each thread: enough that one that comes late is no loss
ENOUGH = 16  # units, so that threads get about equal shares
_COSTLY_CYCLES = 12  # of a vector of exp, tanh, …
_COPY_CYCLES = 0.5  # of an element that is packed
_THREADS = (2, 3, 4, 8)  # usual numbers, by whose mean cuts are compared
_REPEATED = 0.01  # part of the work that packing once more for each chunk may come to


@dataclass(frozen=True)
class Cut:
    """Which axis is cut, how many units it has, and how many chunks each thread gets at most.

    ``axis`` is a band of a schedule, the number of an axis of a contraction's plan, a loop's axis, or 0 for a batch.
    """

    axis: Band | int | Axis
    units: int
    grain: int = GRAIN


def cut_nest(nest: Nest, plan: Schedule) -> Cut | None:
    """How to cut a nest: along its outermost loop with enough turns."""
    if nest_cycles(nest, plan) < WORTH or any(s.accumulate or s.access.at.dynamic for s in nest.stores):
        return None
    found: list[Cut] = []
    for band in plan.outer:
        if all(any(s.access.at.stride(a) for a in band.axes) for s in nest.stores):
            units = ceil(band.extent / (plan.lanes * plan.jam)) if band is plan.vector else band.extent
            found.append(Cut(band, units))
    return _first_with_enough(found)


def _first_with_enough(found: list[Cut]) -> Cut | None:
    best = max(found, key=lambda c: min(c.units, ENOUGH), default=None)
    return best if best is not None and best.units > 1 else None


def cut_loop(loop: Loop, machine: Machine) -> Cut | None:
    """How to cut nested loops whose turns are independent."""
    around = _independent(loop)
    each = _cycles(around[-1].body, machine)
    if each * prod(a.axis.extent for a in around) < WORTH:
        return None
    return _first_with_enough([Cut(a.axis, a.axis.extent) for a in around])


def _independent(loop: Loop) -> list[Loop]:
    """Nested loops whose turns are independent, from the outermost in."""
    around = [loop]
    while len(around[-1].body) == 1 and isinstance(inner := around[-1].body[0], Loop) and inner.parallel:
        around.append(inner)
    return around


def _cycles(body: Sequence[Statement], machine: Machine) -> float:
    """About how long one thread takes for the nests of a loop's turn."""
    return sum(nest_cycles(s, schedule(s, machine)) if isinstance(s, Nest) else
               s.axis.extent * _cycles(s.body, machine) if isinstance(s, Loop) else
               prod(a.extent for a in (*s.axes, *s.reduce_axes)) * s.dtype.itemsize / machine.vector_bytes
               for s in body if isinstance(s, Nest | Loop | Contract))


def block_sizes(extent: int, least: int, most: int) -> list[int]:
    """The sizes of equal blocks, at least two of them, from the smallest on.

    If some make an even number of blocks, only those: two threads, or four, then have equal shares.
    """
    sizes = [n for n in range(least, min(most, extent // 2) + 1) if extent % n == 0]
    return [n for n in sizes if extent // n % 2 == 0] or sizes


def cut_batch(batches: int, s: Custom) -> Cut | None:
    """How to cut a kernel over a batch of matrices, whose work grows faster than their size."""
    size = max((prod(whole.shape) for whole in s.inputs), default=0) / max(batches, 1)
    return Cut(0, batches) if batches > 1 and batches * size**1.5 >= WORTH else None


def own_buffers(loop: Loop) -> list[Buffer]:
    """Temporary values of one turn of a loop with independent turns: every thread needs memory of its own for them."""
    around = [inner.axis for inner in _independent(loop)]
    written = {a.buffer.home for a in writes(loop) if not any(a.at.stride(axis) for axis in around)}
    touched = {a.buffer.home: None for a in (*reads(loop), *writes(loop))}
    return [b for b in touched if b in written and b.kind == "temp"]


def nest_cycles(nest: Nest, plan: Schedule) -> float:
    """About how long one thread takes."""
    each = sum(1 + _COSTLY_CYCLES * (x.op.name in COSTLY) for x in expressions(roots(nest)) if isinstance(x, Apply))
    each += sum(isinstance(x, Load) for x in expressions(roots(nest))) + len(nest.stores)
    return prod(band.extent for band in (*plan.outer, *plan.inner)) / plan.lanes * each


def cut_contraction(plan: Plan) -> Cut | None:
    """How to cut a contraction: along an axis with enough tiles, best the one that its first operand is packed along.

    Every chunk packs for itself what does not vary along the axis.
    """
    if plan.cycles < WORTH:
        return None
    found: list[tuple[float, bool, Cut]] = []
    for i, axis in enumerate(plan.axes):
        units = 0 if axis.reduce else sum((p.stop - p.start) // p.size for p in plan.pieces(i))
        if units < 2:
            continue
        again = sum(_COPY_CYCLES * prod(x.extent for x in plan.axes if x.strides[pack.operand])
                    for pack in plan.packs if plan.dot or not axis.strides[pack.operand])
        again += sum(_COPY_CYCLES * plan.reach(wide)[1] for wide in plan.wides if i not in wide.settled)
        share = plan.cycles * sum(ceil(units / n) / units for n in _THREADS) / len(_THREADS)
        grain = max(1, min(GRAIN, int(_REPEATED * plan.cycles / again))) if again else GRAIN
        elsewhere = bool(plan.packs) and plan.packs[0].axis != i
        found.append((share + again, elsewhere, Cut(i, units, grain)))
    best = min(found, key=lambda f: f[:2], default=None)
    return None if best is None or best[0] > 0.9 * plan.cycles else best[2]
