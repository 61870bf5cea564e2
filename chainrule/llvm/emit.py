"""A program of loop nests → an LLVM module with a function ``run(pointers, arena)``.

``pointers`` lists the inputs, outputs and constants, then the thread pool, if the program uses it. Small statements
stand one after another in that function as long as it is short; a large one becomes a function of its own, so that
each is optimised by itself, and equal ones are compiled once. Functions fill modules, which may be compiled while
others are emitted. A statement that is worth several threads becomes a function of a part of it, for the pool to call
(``llvm/pool.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import prod
from typing import Any, NamedTuple

from chainrule.compiler.contraction import Plan, plan
from chainrule.compiler.describe import described, epilogue_accesses, strides
from chainrule.compiler.effort import FAST, OFTEN, Effort, effort
from chainrule.compiler.loops import (
    Access,
    Axis,
    Branch,
    Buffer,
    Contract,
    Custom,
    Load,
    Loop,
    Nest,
    Program,
    Statement,
    roots,
)
from chainrule.compiler.memory import ALIGN
from chainrule.compiler.parallel import Cut, cut_batch, cut_contraction, cut_loop, cut_nest, own_buffers
from chainrule.compiler.schedule import schedule
from chainrule.compiler.shared import Shared, shared
from chainrule.compiler.steady import contractions, steady_operands
from chainrule.dtypes import BOOL, INT32, INT64
from chainrule.graph import params_key
from chainrule.llvm import ir
from chainrule.llvm.ahead import Later
from chainrule.llvm.builder import Builder
from chainrule.llvm.contraction import Place, emit_contraction, emit_pack
from chainrule.llvm.emitter import I8, I64, PTR, Emitter, Val, integer
from chainrule.llvm.frame import Evaluator, Frame, Part
from chainrule.llvm.half import HALF
from chainrule.llvm.jit import Target
from chainrule.llvm.kernel import Array, Kernel
from chainrule.llvm.math import MATH
from chainrule.llvm.modules import RUN_TYPE, Modules
from chainrule.llvm.nests import emit_nest
from chainrule.llvm.pool import DISPATCH_TYPE, PART_TYPE

OUTLINE = 20_000  # points of a statement from which on it is a function of its own
LITTLE = 1_000  # points up to which no statement is worth sharing out
LONG = 200  # instructions of a function from which on it takes in no more
LONGEST = 5000  # of one in a loop of many turns, where a call and what loops cannot be freed of cost more


@dataclass
class _Unit:
    """What the functions of a program share. Contractions use scratch memory behind the arena, one at a time."""

    modules: Modules
    target: Target
    arena: int
    pool: int  # position of the thread pool among the pointers
    scratch: int = 0
    workers: int | None = None
    kernels: dict[Any, tuple[ir.Function, int, int]] = field(default_factory=dict)
    functions: dict[Any, tuple[ir.Function, Cut | None, int]] = field(default_factory=dict)
    packed: dict[Statement, _Packed] = field(default_factory=dict)

    def keep(self, size: int) -> int:
        """Where memory begins that no scratch memory of later statements overlaps."""
        start = self.arena
        self.arena += -(-size // ALIGN) * ALIGN
        return start


@dataclass
class _Packed:
    """Operands of a contraction that are packed before the loops around it, and where they lie: in the arena, or at an
    address that the statement's function is passed.
    """

    uses: tuple[int, int]
    places: dict[int, int | ir.Value]


class Emitted(NamedTuple):
    """The module of a program (the last one, if it has several), and the memory it needs."""

    module: ir.Module
    arena: int  # bytes
    workers: int | None  # bytes of scratch memory for each further thread; None if one thread does all


def emit_program(program: Program, target: Target, finished: Callable[[ir.Module], None] | None = None) -> Emitted:
    """The LLVM module of a planned program; with ``finished``, which takes full modules, a long one has several."""
    pointers = len(program.inputs) + len(program.outputs) + len(program.constants)
    modules = Modules(finished)
    unit = _Unit(modules, target, program.arena, pointers)
    main = modules.run(_Writer(unit, modules.function("run", RUN_TYPE)).write(program.statements))
    main.take(modules.filling)
    return Emitted(main, unit.arena + unit.scratch, unit.workers)


class _Writer:
    """Writes statements into one function: the program, or one of its statements.

    ``axes`` are those around, ``turns`` those of the loops around the function. A statement's function has its scratch
    memory as an argument, of which it uses ``used`` bytes, the first ``kept`` of them to its end. When the function is
    long, further statements go to ``rest``, a function that it calls in their place.
    """

    def __init__(self, unit: _Unit, function: ir.Function, turns: int = 1) -> None:
        self.unit, self.turns = unit, turns
        self.part: Part | None = None
        self.used = self.kept = 0
        self.rest: _Writer | None = None
        self.axes: dict[Axis, Val] = {}
        self.alone = False  # inside of a loop that is shared out as a whole
        self.begin(function)

    def begin(self, function: ir.Function) -> None:
        self.function = function
        self.entry = Builder(function.append_basic_block())  # only addresses
        self.e = Emitter(Builder(function.append_basic_block()), MATH | HALF, self.unit.target.native_half)
        self.known: dict[Buffer, ir.Value] = {}
        function.noalias = 2

    def write(self, statements: Sequence[Statement]) -> list[ir.Function]:
        """Write a program, in functions that are to run one after another; all but the last are complete."""
        functions = [self.function]
        for s in statements:
            if self.function.lines > self.limit():
                self.close()
                self.unit.modules.complete(self.function)
                self.begin(self.unit.modules.function("run", RUN_TYPE))
                functions.append(self.function)
            self.statements([s])
        self.close()
        return functions

    def close(self) -> None:
        self.e.b.ret_void()
        self.entry.branch(self.function.blocks[1])

    def statements(self, statements: Sequence[Statement]) -> None:
        for s in statements:
            if self.rest is None and self.function.lines > self.limit():
                self.begin_rest()
            writer = self.rest or self
            if self.apart(s):
                writer.outline(s)
            else:
                writer.statement(s)
            if self.rest is not None and self.rest.function.lines > self.limit():
                self.end_rest()
        self.end_rest()

    def apart(self, s: Statement) -> bool:
        """Whether a statement is a function of its own."""
        if isinstance(s, Loop):
            return s.parallel
        return points(s) > OUTLINE or (isinstance(s, Custom) or points(s) > LITTLE) and self.cut(s) is not None

    def limit(self) -> int:
        """Instructions that a function has where one stands."""
        return LONG if self.turns * prod(axis.extent for axis in self.axes) < OFTEN else LONGEST

    def begin_rest(self) -> None:
        """Call a function that does what comes next."""
        around = list(self.axes.items())
        function = self.unit.modules.function("run", ir.FunctionType(ir.VOID, [PTR, PTR, *[I64] * len(around)]))
        self.e.b.call(function, [*self.function.args[:2], *(at.ir for _, at in around)])
        self.rest = _Writer(self.unit, function, self.turns)
        self.rest.axes = {axis: Val(at, INT64) for (axis, _), at in zip(around, function.args[2:], strict=True)}

    def end_rest(self) -> None:
        """No more statements for that function."""
        if self.rest is not None:
            self.rest.close()
            self.unit.modules.complete(self.rest.function)
            self.rest = None

    def pointer(self, buffer: Buffer) -> ir.Value:
        """The address of a buffer, computed once at the function's entry."""
        if buffer not in self.known:
            b = self.entry
            if buffer.kind == "temp":
                self.known[buffer] = b.gep(self.function.args[1], integer(buffer.offset), I8)
            else:
                slot = b.gep(self.function.args[0], integer(buffer.position), PTR)
                self.known[buffer] = b.load(slot, PTR)
        return self.known[buffer]

    def effort(self, s: Statement) -> Effort:
        return effort(points(s), self.turns * prod(axis.extent for axis in self.axes))

    def frame(self, worth: Effort = FAST) -> Frame:
        return Frame(self.e, self.pointer, self.axes, worth)

    def outline(self, s: Statement) -> None:
        """Call a function that does what ``s`` says, or let the pool share it out. Equal statements have one."""
        b, unit = self.e.b, self.unit
        if isinstance(s, Loop):
            self.pack_all_before(s)
        form = shared(s, own_buffers(s) if isinstance(s, Loop) else ())
        turns = self.turns * prod(axis.extent for axis in self.axes)
        ready = [self.ready(contract) for contract in contractions(s)]
        key = (form.key, min(turns, OFTEN), *((r.uses, *r.places) for r in ready))
        if key not in unit.functions:
            unit.functions[key] = _function(unit, form, turns, ready)
        function, cut, used = unit.functions[key]
        frame = self.frame()
        passed = [b.ptrtoint(self.address(frame, access), I64) for _, access in form.bases]
        passed += [frame.index(at).ir for _, at in form.positions]
        passed += [b.ptrtoint(self.at(place), I64) for r in ready for place in r.places.values()]
        words = self.entry.alloca(I64, max(1, len(passed)))
        for k, word in enumerate(passed):
            b.store(word, b.gep(words, integer(k), I64))
        given = [*self.function.args[:2], self.scratch(used), words]
        if cut is None or self.alone:
            b.call(function, [*given, integer(0), integer(0 if cut is None else cut.units)])
            return
        unit.workers = max(unit.workers or 0, used)
        self.function.module.know(function)
        slot = self.entry.gep(self.function.args[0], integer(unit.pool), PTR)
        pool = self.entry.load(slot, PTR)
        dispatch = self.entry.load(pool, PTR)
        b.call(dispatch, [pool, function, *given, integer(cut.units), integer(cut.grain)], DISPATCH_TYPE)

    def cut(self, s: Statement) -> Cut | None:
        """How a statement is cut for threads."""
        if isinstance(s, Nest):
            return cut_nest(s, schedule(s, self.unit.target, self.effort(s)))
        if isinstance(s, Loop):
            return cut_loop(s, self.unit.target)
        if isinstance(s, Custom):
            return cut_batch(_kernel(self.unit, s)[2], s)
        return cut_contraction(self.planned(s)) if isinstance(s, Contract) else None

    def word(self, k: int, kind: ir.Type) -> ir.Value:
        """What a statement's function is passed."""
        return self.entry.load(self.entry.gep(self.function.args[3], integer(k), kind), kind)

    def own(self, buffers: Iterable[Buffer]) -> None:
        """Let buffers have memory of this part's own."""
        for buffer in buffers:
            self.known[buffer] = self.entry.gep(self.function.args[2], integer(self.kept), I8)
            self.kept += -(-buffer.size * buffer.dtype.itemsize // ALIGN) * ALIGN
        self.used = max(self.used, self.kept)

    def statement(self, s: Statement) -> None:
        """Write ``s`` here."""
        if isinstance(s, Nest):
            worth = self.effort(s)
            self.e.hides_counts = not worth.addresses
            emit_nest(self.frame(worth), s, schedule(s, self.unit.target, worth), self.part)
        elif isinstance(s, Contract):
            self.contract(s)
        elif isinstance(s, Custom):
            self.custom(s)
        elif isinstance(s, Loop):
            self.loop(s)
        else:
            self.branch(s)

    def loop(self, s: Loop) -> None:
        """Repeat the body; a flag ends it early."""
        b = self.e.b
        if s.axis.extent == 0:
            return
        start: ir.Value = integer(0)
        stop: ir.Value = integer(s.axis.extent)
        if self.part is not None and self.part.axis is s.axis:
            start, stop = self.part.begin.ir, self.part.end.ir
            self.part = None  # statements inside are whole
        self.pack_all_before(s)
        body, after = b.append_basic_block(), b.append_basic_block()
        before = b.block
        if s.holds is not None:
            b.cbranch(self.flag(s.holds), body, after)
        else:
            b.branch(body)
        b.position_at_end(body)
        i = b.phi(I64)
        i.add_incoming(start, before)
        self.axes[s.axis] = Val(i, INT64)
        around, self.alone = self.alone, self.alone or s.parallel
        if self.alone:
            for inner in s.body:
                if points(inner) > OUTLINE:
                    self.outline(inner)
                else:
                    self.statement(inner)
        else:
            self.statements(s.body)
        self.alone = around
        following = b.add(i, I64(1))
        i.add_incoming(following, b.block)
        go = b.icmp_signed("<", following, stop)
        if s.until is not None:
            go = b.and_(go, b.not_(self.flag(s.until)))
        if s.holds is not None:
            go = b.and_(go, self.flag(s.holds))
        b.cbranch(go, body, after)
        b.position_at_end(after)
        del self.axes[s.axis]

    def flag(self, access: Access) -> ir.Value:
        return self.e.load(self.address(self.frame(), access), BOOL).ir

    def branch(self, s: Branch) -> None:
        """Run one of several lists of statements."""
        b = self.e.b
        index = self.e.load(self.address(self.frame(), s.index), INT32).ir
        blocks = [b.append_basic_block() for k in range(len(s.bodies))]
        after = b.append_basic_block()
        choice = b.switch(index, blocks[-1])
        for k, (block, body) in enumerate(zip(blocks, s.bodies, strict=True)):
            choice.add_case(k, block)
            b.position_at_end(block)
            self.statements(body)
            b.branch(after)
        b.position_at_end(after)

    def planned(self, s: Contract) -> Plan:
        """How a contraction runs."""
        return plan(described(s), self.unit.target, self.effort(s), self.ready(s).uses)

    def ready(self, s: Statement) -> _Packed:
        """Which operands are packed already."""
        return self.unit.packed.get(s, _Packed((1, 1), {}))

    def pack_all_before(self, s: Loop) -> None:
        """Pack what contractions in a loop read and it leaves as it is; threads that share it out find it packed."""
        if self.function.function_type is not PART_TYPE:
            for contract, uses, turns in steady_operands(s):
                self.pack_before(contract, uses, turns)

    def pack_before(self, s: Contract, uses: tuple[int, int], turns: int) -> None:
        """Pack the operands of ``s`` that the loop which begins now leaves as they are."""
        if s in self.unit.packed:
            return
        worth = effort(points(s), turns * prod(axis.extent for axis in self.axes))
        chosen = plan(described(s), self.unit.target, worth, uses)
        self.e.hides_counts = not worth.addresses
        early = [p for p in chosen.packs_before if uses[p.operand] > 1]
        if len(early) < sum(uses[p.operand] > 1 for p in chosen.packs):  # one depends on loops of the contraction
            return
        ready = self.unit.packed[s] = _Packed(uses, {})
        for pack in early:
            place = ready.places[pack.operand] = self.unit.keep(chosen.pack_size(pack) * s.dtype.itemsize)
            source = self.address(self.frame(), (s.a, s.b)[pack.operand])
            emit_pack(self.e, chosen, pack, source, self.in_arena(place))

    def contract(self, s: Contract) -> None:
        frame, chosen = self.frame(), self.planned(s)
        self.e.hides_counts = not self.effort(s).addresses
        scratch = self.scratch(chosen.scratch * s.dtype.itemsize) if chosen.scratch else None
        bases = {id(access): self.address(frame, access) for access in epilogue_accesses(s)}
        work = _Epilogue(frame, s, (*s.axes, *s.reduce_axes), bases)
        packed = {operand: self.at(place) for operand, place in self.ready(s).places.items()}
        tables = {o: self.address(frame, row.access) for o, x in enumerate((s.a, s.b)) for _, row in x.at.dynamic}
        fetch = work.fetch if work.far(self.unit.target.l2_bytes) and not self.effort(s).price else None
        emit_contraction(self.e, chosen, self.address(frame, s.a), self.address(frame, s.b), scratch, work, self.part,
                         packed, tables, fetch, self.later(frame, s))

    def later(self, frame: Frame, s: Contract) -> Sequence[Later]:
        """What is fetched meanwhile: no more than half of the second-level cache."""
        found = []
        for soon in s.soon:
            tables = [self.address(frame, begin.access) for _, begin in soon.begin.at.dynamic]
            rows = 1 if soon.axis is None else soon.axis.extent
            found.append(Later(self.address(frame, soon.begin), rows, soon.length, soon.begin.buffer.dtype, *tables))
        return found if 2 * sum(x.bytes for x in found) <= self.unit.target.l2_bytes else []

    def address(self, frame: Frame, access: Access) -> ir.Value:
        """Where the access begins: at the point where the nest's own axes are 0."""
        return self.e.at(frame.base(access), frame.index(access.at), access.buffer.dtype)

    def scratch(self, size: int) -> ir.Value:
        if self.function.function_type is PART_TYPE:
            self.used = max(self.used, self.kept + size)
            return self.e.b.gep(self.function.args[2], integer(self.kept), I8) if self.kept else self.function.args[2]
        self.unit.scratch = max(self.unit.scratch, size)
        return self.in_arena(self.unit.arena)

    def at(self, place: int | ir.Value) -> ir.Value:
        """The address of a packed operand."""
        return self.in_arena(place) if isinstance(place, int) else place

    def in_arena(self, offset: int) -> ir.Value:
        return self.e.b.gep(self.function.args[1], integer(offset), I8)

    def custom(self, s: Custom) -> None:
        frame = self.frame()
        function, scratch, batches = _kernel(self.unit, s)
        operands = [self.address(frame, whole.access) for whole in (*s.inputs, *s.outputs)]
        part = [integer(0), integer(batches)] if self.part is None else [self.part.begin.ir, self.part.end.ir]
        self.e.b.call(function, [*operands, self.scratch(scratch), *part])


def _function(unit: _Unit, form: Shared, turns: int, ready: Sequence[_Packed]) -> tuple[ir.Function, Cut | None, int]:
    """The function of a statement, how it is cut for threads, and the scratch memory that it needs (bytes).

    ``ready``: which operands of its contractions are packed already.
    """
    function = unit.modules.function("nest", PART_TYPE)
    inside = _Writer(unit, function, turns)
    inside.own(form.own)
    for k, (base, _) in enumerate(form.bases):
        inside.known[base] = inside.word(k, PTR)
    for k, (axis, _) in enumerate(form.positions):
        inside.axes[axis] = Val(inside.word(len(form.bases) + k, I64), INT64)
    words = count(len(form.bases) + len(form.positions))
    for contract, r in zip(contractions(form.statement), ready, strict=True):
        unit.packed[contract] = _Packed(r.uses, {o: inside.word(next(words), PTR) for o in r.places})
    cut = inside.cut(form.statement)
    if cut is not None:
        inside.part = Part(cut.axis, *(Val(x, INT64) for x in function.args[4:]))
    inside.statement(form.statement)
    inside.close()
    unit.modules.complete(function)
    return function, cut, inside.used


def _kernel(unit: _Unit, s: Custom) -> tuple[ir.Function, int, int]:
    """The function of a custom kernel, its working memory (bytes), and the units that threads may share out.

    There is one for all uses of equal shapes.
    """
    wholes = [*s.inputs, *s.outputs]
    key = (s.op.name, params_key(s.params), tuple((whole.shape, whole.dtype) for whole in wholes))
    if key not in unit.kernels:
        kind = ir.FunctionType(ir.VOID, [PTR] * (len(wholes) + 1) + [I64] * 2)
        function = unit.modules.function(s.op.name, kind)
        function.combines = True
        b = Builder(function.append_basic_block())
        scratch, begin, end = function.args[-3:]
        e = Kernel(b, MATH, unit.target.vector_bytes, scratch, (Val(begin, INT64), Val(end, INT64)))
        arrays = [Array(a, whole.shape, whole.dtype) for a, whole in zip(function.args, wholes, strict=False)]
        s.op.lower(e, *arrays, **s.params)
        b.ret_void()
        unit.modules.complete(function)
        unit.kernels[key] = function, e.scratch_bytes, e.batches
    return unit.kernels[key]


class _Epilogue:
    """What becomes of the sums of a contraction: expressions on registers, and stores."""

    def __init__(self, frame: Frame, s: Contract, axes: Sequence[Axis], bases: dict[int, ir.Value]) -> None:
        self.s, self.axes, self.bases = s, axes, bases
        self.work = Evaluator(frame, roots(s), ())
        loads = (x.access for x in self.work.all if isinstance(x, Load))
        full = (a for a in loads if all(a.at.stride(i) for i in s.axes if i.extent > 1))  # an element for each output
        self.arrays = tuple({(a.buffer.home, a.at.key): a for a in full}.values())

    def far(self, cache: int) -> bool:
        """Whether it reads arrays that take more than half of a cache."""
        return any(2 * prod(x.extent for x in self.s.axes) * a.buffer.dtype.itemsize > cache for a in self.arrays)

    def fetch(self, e: Emitter, place: Place) -> None:
        """Fetch what will be read for a register, long before."""
        for access in self.arrays:
            along = strides(access, self.axes)
            if place.lane_stride(along) == 1:
                e.b.prefetch(place.pointer(self.bases[id(access)], along, access.buffer.dtype))

    def __call__(self, e: Emitter, place: Place, acc: Val) -> None:
        work = self.work
        for x in work.all:
            if isinstance(x, Load):
                work.values[id(x)] = place.load(self.bases[id(x.access)], strides(x.access, self.axes), x.dtype)
        for x in work.all:
            if not isinstance(x, Load) and id(x) not in work.after_reduction and x.args:
                work.values[id(x)] = work.compute(x, acc.lanes, None, acc.lanes)
        work.finish([store.value for store in self.s.stores], acc)
        for store in self.s.stores:
            place.store(
                work.value(store.value, acc.lanes), self.bases[id(store.access)], strides(store.access, self.axes)
            )


def points(s: Statement) -> int:
    """Index points of a statement."""
    if isinstance(s, Custom | Loop | Branch):
        return 0
    n = 1
    for a in (*s.axes, *s.reduce_axes):
        n *= a.extent
    return n


