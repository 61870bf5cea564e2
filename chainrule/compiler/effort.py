"""How much code a statement is worth.

Compiling an instruction takes as long as running it some 100,000 times. So what runs in a loop of the program is
written out as far as that makes it faster; what runs once a call, and is small, with as few instructions as do.
"""

from __future__ import annotations

from dataclasses import dataclass

SMALL = 50_000  # index points up to which the size of a statement's code counts for more than its speed
OFTEN = 100  # turns of the loops around a statement from which on its speed counts


@dataclass(frozen=True)
class Effort:
    """Limits to what is written.

    Attributes:
        unroll: expressions that a loop may be written out to.
        costly: what one of many instructions (``COSTLY``) counts for in that.
        jam: vectors of outputs that are reduced side by side.
        full: multiply-adds of all tiles of a contraction that are written without a loop.
        turn: multiply-adds that one turn of its innermost loop may grow to.
        price: cycles of a contraction that an instruction must save.
        addresses: whether LLVM may look for cheaper ways to step through memory. That takes a sixth of its time.
    """

    unroll: int
    costly: int
    jam: int
    full: int
    turn: int
    price: float
    addresses: bool


FAST = Effort(unroll=48, costly=1, jam=4, full=128, turn=32, price=0.0, addresses=True)
BRIEF = Effort(unroll=8, costly=8, jam=1, full=8, turn=4, price=6.0, addresses=False)


def effort(points: int, turns: int) -> Effort:
    """For a statement of so many index points in loops of so many turns."""
    return BRIEF if points <= SMALL and turns < OFTEN else FAST
