"""Where the time of a compiled program goes: each statement of its loop nests timed where it stands.

A counter of cycles is read between the statements, also inside of the program's loops.

    python bench/statements.py WORKLOAD
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from chainrule import runtime, threads, tree
from chainrule.addresses import aligned
from chainrule.cache import Entry
from chainrule.compiler.loops import (
    Access,
    Affine,
    Branch,
    Buffer,
    Contract,
    Custom,
    Loop,
    Nest,
    Statement,
    Whole,
    reads,
    writes,
)
from chainrule.compiler.pipeline import build
from chainrule.llvm.emit import emit_program
from chainrule.llvm.emitter import I64
from chainrule.llvm.jit import compile_module, host
from chainrule.ops.declare import Op
from chainrule.trace import record


def _stamp(e: Any, cells: Any, number: int) -> None:
    """Adds the cycles since the last stamp to cell ``number``; cell 0 holds when that was."""
    function = e.b.module.declared("llvm.readcyclecounter", I64, [])
    now, last = e.b.call(function, []), e.at(cells.pointer, 0, cells.dtype)
    cell = e.at(cells.pointer, number, cells.dtype)
    spent = e.b.sub(now, e.b.load(last, I64))
    e.b.store(e.b.add(e.b.load(cell, I64), spent), cell)
    e.b.store(now, last)


STAMP = Op("stamp", "Reads the clock.", "custom", infer=lambda **_: ((), None), reference=lambda **_: None,
           lower=_stamp)


@dataclass
class Timed:
    """A statement, how often it ran in a call, and its seconds in that."""

    statement: Statement
    turns: int
    seconds: float

    @property
    def operations(self) -> int:
        """Multiplications and additions of a contraction, in all turns."""
        s = self.statement
        if not isinstance(s, Contract):
            return 0
        return 2 * self.turns * prod(a.extent for a in (*s.axes, *s.reduce_axes))

    @property
    def moved(self) -> int:
        """Bytes of the different elements that it reads and writes in one turn, each once."""
        s = self.statement
        if isinstance(s, Contract | Nest):
            found = {(a.buffer.home, a.at.key, w): prod(x.extent for x, c in a.at.terms if c and (
                x in s.axes or x in s.reduce_axes)) * a.buffer.dtype.itemsize
                for w, accesses in enumerate((reads(s), writes(s))) for a in accesses}
            return sum(found.values())
        return 0


def timed(function: Callable[..., Any], *args: Any, donate: tuple[int, ...] = (), rounds: int = 7) -> list[Timed]:
    """The statements of ``function``'s program for these arguments, with the least time of several calls."""
    graph, _ = record(function, args)
    program = build(graph, runtime._pairs(graph, args, donate))
    further = len(program.inputs) + len(program.outputs) + len(program.constants)
    clock = Buffer("cycles", 0, np.dtype(np.int64), "output", position=further)
    found: list[Timed] = []
    program.statements = list(_stamped(program.statements, 1, clock, found))
    clock.size = len(found) + 1
    cells = np.zeros(clock.size, np.int64)
    program.constants.append((clock, cells))
    emitted = emit_program(program, host())
    constants = tuple(np.ascontiguousarray(v).reshape(-1) for _, v in program.constants)
    code = (compile_module(emitted.module, host()),)
    executable = runtime.Executable(Entry(code, emitted.arena, constants, emitted.workers))
    arrays = [aligned(np.ascontiguousarray(a)) for a in tree.flatten(args)[0]]
    taken = {id(o): a for o, a in zip(program.inputs, arrays, strict=True)}
    results = [taken.get(id(b.home), np.empty(b.size, b.dtype)) for b in program.outputs]
    best = np.full(len(found), np.inf)
    before = threads.get_threads()
    threads.set_threads(1)  # the clock's cells are one thread's
    try:
        for _ in range(rounds):
            cells[:] = 0
            start = time.perf_counter()
            executable.run(arrays, results)
            took = time.perf_counter() - start
            spent = cells[1:].astype(float)
            spent[0] = 0.0  # since the start of time
            best = np.minimum(best, spent * took / spent.sum())
    finally:
        threads.set_threads(before)
    for one, seconds in zip(found, best, strict=True):
        one.seconds = float(seconds)
    return found[1:]


def _stamped(statements: list[Statement], turns: int, clock: Buffer, found: list[Timed]) -> Iterator[Statement]:
    """The statements with a stamp after each; loops and branches have theirs inside."""
    def stamp(s: Statement) -> Custom:
        found.append(Timed(s, turns, 0.0))
        return Custom(STAMP, {"number": len(found)}, [], [Whole(Access(clock, Affine()), ())], "stamp")
    if not found:
        yield stamp(Nest((), [], label="start"))
    for s in statements:
        if isinstance(s, Loop) and (not s.parallel or any(isinstance(inner, Loop | Contract) for inner in s.body)):
            s.body = list(_stamped(s.body, turns * s.axis.extent, clock, found))
            yield s
        elif isinstance(s, Branch):
            s.bodies = [list(_stamped(body, turns, clock, found)) for body in s.bodies]
            yield s
        else:
            yield s
            yield stamp(s)


def describe(s: Statement) -> str:
    """One line for a statement: its space and what it is made of."""
    if isinstance(s, Custom):
        return s.label
    if isinstance(s, Loop):
        return f"{s.label} {s.axis.extent}: {'; '.join(map(describe, s.body))}"
    over = "×".join(str(a.extent) for a in s.axes) or "once"
    inner = "×".join(str(a.extent) for a in s.reduce_axes)
    kind = "contract" if isinstance(s, Contract) else s.combine or "map"
    return f"{kind} {over}{' over ' + inner if inner else ''}: {s.label}"


def show(found: list[Timed], steps: int, console: Console, least: float = 0.002) -> None:
    """Prints the statements that take more than a share of the time, for one of ``steps`` equal turns."""
    total = sum(t.seconds for t in found)
    table = Table("statement", "µs", "share", "GFLOP/s", "GB/s", box=box.SIMPLE)
    for t in found:
        if t.seconds < least * total:
            continue
        rate = f"{t.operations / t.seconds / 1e9:.0f}" if t.operations else ""
        bytes_ = t.moved * t.turns / t.seconds / 1e9
        table.add_row(describe(t.statement), f"{t.seconds / steps * 1e6:.0f}", f"{t.seconds / total:.1%}", rate,
                      f"{bytes_:.1f}")
    table.add_section()
    products = sum(t.seconds for t in found if t.operations)
    operations = sum(t.operations for t in found)
    table.add_row("contractions", f"{products / steps * 1e6:.0f}", f"{products / total:.1%}",
                  f"{operations / max(products, 1e-12) / 1e9:.0f}", "")
    table.add_row("all", f"{total / steps * 1e6:.0f}", "", f"{operations / total / 1e9:.0f}", "")
    console.print(table)


def main() -> None:
    """A workload of ``bench/workloads.py``."""
    from peer_chainrule import epoch_of
    from workloads import WORKLOADS
    work = WORKLOADS[sys.argv[1]]
    epoch, arguments = epoch_of(work)
    show(timed(epoch, *arguments, donate=(0,)), work.steps, Console(width=120))


if __name__ == "__main__":
    main()
