"""How a nest's iterations run: which axes are one loop, which one is vectorised, how many vectors at a time.

Needs: a nest (``loops.Nest``) and the machine. Gives: a :class:`Schedule`; the nest itself is not changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from chainrule.compiler.effort import FAST, Effort
from chainrule.compiler.loops import Affine, Axis, Load, Nest, Position, expressions, roots


class Machine(Protocol):
    """What scheduling must know of the processor."""

    @property
    def vector_bytes(self) -> int: ...


@dataclass(frozen=True)
class Band:
    """Axes run as one loop: neighbours that every access sees as one. ``axis`` counts, the others stay 0."""

    axes: tuple[Axis, ...]
    extent: int

    @property
    def axis(self) -> Axis:
        return self.axes[-1]


@dataclass(frozen=True)
class Schedule:
    """``outer`` loops over outputs, then ``inner`` loops of the reduction; ``vector`` is a band of either, or None."""

    outer: tuple[Band, ...]
    inner: tuple[Band, ...]
    vector: Band | None
    lanes: int
    jam: int  # vectors in flight at once

    @property
    def reduces_lanes(self) -> bool:
        """Whether the lanes run along the reduction and are combined at the end."""
        return self.vector is not None and self.vector in self.inner

    def __str__(self) -> str:
        def names(bands: Sequence[Band]) -> str:
            return " ".join("·".join(map(str, b.axes)) + f":{b.extent}" for b in bands) or "-"
        vector = f"{self.lanes} lanes along {self.vector.axis}" if self.vector else "scalar"
        return f"loops {names(self.outer)} | {names(self.inner)}, {vector}, {self.jam} at once"


def schedule(nest: Nest, machine: Machine, effort: Effort = FAST) -> Schedule:
    """The schedule of a nest on a machine."""
    found = affines(nest)
    outer, inner = _bands(nest.axes, found), _bands(nest.reduce_axes, found)
    # lanes must not add to one element: not where positions are looked up, nor where they are all the same
    barred = {a for store in nest.stores if store.accumulate for a in nest.axes if not store.access.at.stride(a)}
    barred |= {a for store in nest.stores if store.accumulate for _, e in store.access.at.dynamic for a in depends(e)}
    vector = _vector(nest, [b for b in (*outer, *inner) if b.extent > 1 and not barred & set(b.axes)])
    width = max([store.value.dtype.itemsize for store in nest.stores] + (
        [nest.body.dtype.itemsize] if nest.body is not None else []), default=4)
    lanes = machine.vector_bytes // max(width, 4)
    if vector is None:
        return Schedule(outer, inner, None, 1, 1)
    trips = vector.extent // lanes
    most = 4 if vector in inner else effort.jam
    jam = max(1, min(most, trips)) if nest.combine else 1
    return Schedule(outer, inner, vector, lanes, jam)


def affines(nest: Nest) -> list[Affine]:
    """The index of every access and position in a nest."""
    found = [e.access.at for e in expressions(roots(nest)) if isinstance(e, Load)]
    found += [e.at for e in expressions(roots(nest)) if isinstance(e, Position)]
    return found + [store.access.at for store in nest.stores]


def depends(e: Any) -> set[Axis]:
    """The axes that an expression's value varies along."""
    axes: set[Axis] = set()
    for x in expressions([e]):
        at = x.access.at if isinstance(x, Load) else x.at if isinstance(x, Position) else None
        if at is not None:
            axes |= {a for a, _ in at.terms}
    return axes


def _bands(axes: Sequence[Axis], found: Sequence[Affine]) -> tuple[Band, ...]:
    bands: list[Band] = []
    for axis in axes:
        if bands and all(at.stride(bands[-1].axis) == at.stride(axis) * axis.extent for at in found):
            last = bands.pop()
            bands.append(Band((*last.axes, axis), last.extent * axis.extent))
        else:
            bands.append(Band((axis,), axis.extent))
    return tuple(bands)


def _vector(nest: Nest, bands: Sequence[Band]) -> Band | None:
    """The band along which most accesses are consecutive."""
    expressions_ = expressions(roots(nest))
    loads = [e.access.at for e in expressions_ if isinstance(e, Load)]
    stores = [store.access.at for store in nest.stores]

    def score(band: Band) -> float:
        total = 0.0
        for at, weight in [(a, 1.0) for a in loads] + [(a, 2.0) for a in stores]:
            stride = at.stride(band.axis)
            if any(band.axis in depends(e) for _, e in at.dynamic):
                total -= 2 * weight
            elif stride == 1:
                total += weight
            elif stride != 0:
                total -= 2 * weight
        return total + min(band.extent, 16) / 8  # a few lanes are hardly worth a vector
    best = max(bands, key=lambda b: (score(b), bands.index(b)), default=None)
    return best
