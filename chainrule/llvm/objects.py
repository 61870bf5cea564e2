"""The function that calls a program on NumPy's array objects. All programs share it: it is compiled once."""

from __future__ import annotations

from chainrule.llvm import ir
from chainrule.llvm.builder import Builder
from chainrule.llvm.emitter import I8, I64, INT64, PTR, Emitter, Val, integer
from chainrule.llvm.modules import RUN_TYPE


def emit_call() -> ir.Module:
    """``call(table, arena)``: what ``run(pointers, arena)`` does, with array objects in the place of pointers.

    The table begins with three words: how many bytes Python's own fields take of an object, the address of ``run``, and
    the number of array objects. These come next, then the other pointers for ``run``. The pointer to its elements is
    the first field of an array after Python's own (``PyArrayObject_fields`` of NumPy's C interface). To ask for it from
    Python takes longer than a small program.
    """
    module = ir.Module("call")
    call = ir.Function(module, RUN_TYPE, "call")
    e = Emitter(Builder(call.append_basic_block()))
    e.hides_counts = True
    table, arena = call.args
    head = e.b.load(table, I64)
    run = e.b.load(e.b.gep(table, integer(1), PTR), PTR)
    count = e.b.load(e.b.gep(table, integer(2), PTR), I64)
    pointers = e.b.gep(table, integer(3), PTR)
    with e.loop(0, Val(count, INT64)) as loop:
        entry = e.b.gep(pointers, loop.index.ir, PTR)
        field = e.b.gep(e.b.load(entry, PTR), head, I8)
        e.b.store(e.b.load(field, PTR), entry)
    e.b.call(run, [pointers, arena], RUN_TYPE)
    e.b.ret_void()
    return module
