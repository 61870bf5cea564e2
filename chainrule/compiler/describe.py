"""What the planner must know of a contraction statement, and how its accesses step along its axes."""

from __future__ import annotations

from collections.abc import Sequence

from chainrule.compiler.contraction_plan import ContractAxis, Contraction
from chainrule.compiler.loops import Access, Axis, Contract, Load, expressions, roots


def described(s: Contract) -> Contraction:
    """The contraction that a statement makes."""
    axes, first, operands = (*s.axes, *s.reduce_axes), s.stores[0].access, (s.a, s.b)
    both = s.a.buffer.dtype, s.b.buffer.dtype
    listed = [_listed(x, axes) for x in operands]
    a, b = ([_pitch(x, axes) if k == n else stride for k, stride in enumerate(strides(x, axes))]
            for x, n in zip(operands, listed, strict=True))
    found = (ContractAxis(axis.extent, a[k], b[k], first.at.stride(axis), axis in s.reduce_axes)
             for k, axis in enumerate(axes))
    return Contraction(tuple(found), s.dtype, tuple(strides(access, axes) for access in epilogue_accesses(s)),
                       () if both == (s.dtype, s.dtype) else both, (listed[0], listed[1]))


def epilogue_accesses(s: Contract) -> list[Access]:
    """What the epilogue of a contraction reads and writes."""
    return [x.access for x in expressions(roots(s)) if isinstance(x, Load)] + [store.access for store in s.stores]


def strides(access: Access, axes: Sequence[Axis]) -> tuple[int, ...]:
    """How far an access moves for a step along each axis."""
    return tuple(access.at.stride(a) for a in axes)


def _listed(x: Access, axes: Sequence[Axis]) -> int | None:
    """The axis along which a table says where rows begin (``compiler/taken.py``)."""
    return next((k for k, a in enumerate(axes) for _, row in x.at.dynamic if row.access.at.stride(a)), None)


def _pitch(x: Access, axes: Sequence[Axis]) -> int:
    """What stands for the stride of such an axis: that of rows one after another."""
    return max((a.extent for a in axes if x.at.stride(a)), default=1)
