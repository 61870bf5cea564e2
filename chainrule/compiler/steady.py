"""What contractions in a loop read that the loop does not change, and so may be packed before it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chainrule.compiler.loops import Access, Axis, Buffer, Contract, Loop, Statement, writes


def steady_operands(loop: Loop) -> Iterator[tuple[Contract, tuple[int, int], int]]:
    """The contractions under ``loop`` of which it leaves an operand as it is.

    Before: ``repeat: pack w; y = x · w``. So that it can be: ``pack w; repeat: y = x · w``.

    Yields:
        The contraction, how often its operands are read before they change, and how often it runs.
    """
    written = {w.buffer.home for w in writes(loop)}
    for contract, axes in _contractions([loop], ()):
        turns = 1
        for axis in axes:
            turns *= axis.extent
        uses = tuple(turns if _is_steady(x, axes, written) else 1 for x in (contract.a, contract.b))
        if max(uses) > 1:
            yield contract, (uses[0], uses[1]), turns


def contractions(s: Statement) -> list[Contract]:
    """A contraction, or those in a loop, in the order in which they run."""
    return [contract for contract, _ in _contractions([s], ())]


def _contractions(statements: Sequence[Statement], axes: tuple[Axis, ...]) -> Iterator[
        tuple[Contract, tuple[Axis, ...]]]:
    """The contractions that are made in every turn of the loops that they stand in."""
    for s in statements:
        if isinstance(s, Loop):
            yield from _contractions(s.body, (*axes, s.axis))
        elif isinstance(s, Contract):
            yield s, axes


def _is_steady(access: Access, axes: Sequence[Axis], written: set[Buffer]) -> bool:
    buffer = access.buffer.home
    return buffer not in written and not buffer.volatile and not access.at.dynamic and \
        all(not access.at.stride(axis) for axis in axes)
