"""How the functions of a program are distributed among modules, which may be compiled while others are emitted."""

from __future__ import annotations

from collections.abc import Callable

from chainrule.llvm import ir

LEAST = 200  # instructions that make a module: to compile an empty one takes as long as 40
SHARE = 8  # what is emitted so far, in parts of which one makes a further module


class Modules:
    """Complete functions gather in ``filling``; when there are enough, it goes to ``finished``, if that is given."""

    def __init__(self, finished: Callable[[ir.Module], None] | None = None) -> None:
        self.filling = ir.Module()
        self._finished = finished
        self._names = self._lines = 0

    def function(self, name: str, kind: ir.FunctionType) -> ir.Function:
        """A new function, in a module of its own until it is :meth:`complete`."""
        self._names += 1
        return ir.Function(ir.Module(), kind, f"{name}{self._names}")

    def complete(self, function: ir.Function) -> None:
        """The function will not change any more."""
        self.filling.take(function.module)
        self._lines += function.lines
        if self._finished is not None and self.filling.lines > max(LEAST, self._lines // SHARE):
            self._finished(self.filling)
            self.filling = ir.Module()
