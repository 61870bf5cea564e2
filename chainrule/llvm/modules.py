"""How the functions of a program are distributed among modules, which may be compiled while others are emitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chainrule.llvm import ir
from chainrule.llvm.builder import Builder

RUN_TYPE = ir.FunctionType(ir.VOID, [ir.POINTER, ir.POINTER])

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

    def run(self, functions: Sequence[ir.Function]) -> ir.Module:
        """The module of ``run``: the last function if it is the only one, else one that calls all, one after another.

        All but the last are complete.
        """
        last = functions[-1]
        if len(functions) == 1:
            last.rename("run")
            return last.module
        self.filling.take(last.module)  # compiled with what calls it
        run = ir.Function(ir.Module(), RUN_TYPE, "run")
        b = Builder(run.append_basic_block())
        for function in functions:
            b.call(function, run.args)
        b.ret_void()
        return run.module
