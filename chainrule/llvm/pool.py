"""The native code of the thread pool: how a program hands out the parts of a statement, and what its workers do.

A *part* is a function ``part(pointers, arena, scratch, axes, begin, end)`` that runs the units ``begin … end - 1`` of
one statement. A program calls ``dispatch(pool, part, pointers, arena, scratch, axes, units, grain)``, whose address
stands at the pool's beginning: it cuts the units into up to ``grain`` chunks for each thread, and returns when all have
run. Each thread takes its own chunks first, in order, then those that others have not begun; so nobody waits for a
thread that sleeps or does not exist. A second caller at the same time runs its parts itself.

A chunk is taken by raising a word of 56 bits job number and 8 bits chunk number. The facts of a job change only after
all its chunks are done, and the number before the others: who reads the facts of a job and then its number has those of
that very job, or takes nothing. So nobody who comes late runs a chunk of it by the facts of the next one.

Who finds nothing to do looks for work ``SPINS`` times, then sleeps on a lock of Python's own (``PyThread_…``: it needs
no interpreter), which every system has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chainrule.llvm import ir
from chainrule.llvm.builder import Builder
from chainrule.llvm.emitter import I8, I64, PTR, integer

LINE = 128  # bytes that processors move at a time, with the neighbour that they fetch along
SPINS = 2000  # pauses before going to sleep, some 50 µs: a training loop seldom spends more between two statements

# The pool in memory, in bytes: what does not change; the lock of callers; sums; the job; then LINEs for each thread
DISPATCH, COUNT, SLEEP, WAKE = 0, 8, 16, 24
BUSY, NUMBER = LINE, LINE + 8
DONE = 2 * LINE
PART, POINTERS, ARENA, AXES, UNITS, CHUNKS, EACH, THREADS = range(3 * LINE, 3 * LINE + 64, 8)
FIRST = 4 * LINE
CLAIMS, ASLEEP, STOP, LOCK, SCRATCH = 0, 8, 16, 24, 32  # of a thread; thread 0 is the caller


def size(threads: int) -> int:
    """Bytes of a pool."""
    return FIRST + threads * LINE


_VOID, _I32 = ir.VOID, ir.integer_type(32)
PART_TYPE = ir.FunctionType(_VOID, [PTR, PTR, PTR, PTR, I64, I64])
DISPATCH_TYPE = ir.FunctionType(_VOID, [PTR, PTR, *[PTR] * 4, I64, I64])
_SLEEP_TYPE = ir.FunctionType(_I32, [PTR, _I32])
_WAKE_TYPE = ir.FunctionType(_VOID, [PTR])
FUNCTIONS = ("dispatch", "work", "acquire", "release", "stop")


def emit_pool(triple: str) -> ir.Module:
    """The module with ``FUNCTIONS``.

    They are ``dispatch``; ``work(pool, k)``, which returns once ``stop(pool, k)`` has been called; and
    ``acquire(pool)``, which is 1 if no job runs and none will until ``release(pool)``, else 0.
    """
    module = ir.Module("pool")
    take = _Function(module, "take", I64, [PTR, I64, I64, PTR], triple).take()
    wake = _Function(module, "wake", _VOID, [PTR, PTR], triple).wake()
    _Function(module, "dispatch", _VOID, DISPATCH_TYPE.args, triple).dispatch(take, wake)
    _Function(module, "work", _VOID, [PTR, I64], triple).work(take, wake)
    _Function(module, "stop", _VOID, [PTR, I64], triple).stop(wake)
    acquire = _Function(module, "acquire", I64, [PTR], triple)
    acquire.b.ret(acquire.b.zext(acquire.swap(acquire.field(BUSY), integer(0), integer(1)), I64))
    release = _Function(module, "release", _VOID, [PTR], triple)
    release.put(BUSY, integer(0))
    release.b.ret_void()
    return module


class _Function:
    """One function; ``pool`` is its first argument."""

    def __init__(self, module: ir.Module, name: str, result: ir.Type, arguments: list[ir.Type], triple: str) -> None:
        self.function = ir.Function(module, ir.FunctionType(result, arguments), name)
        if name in ("take", "wake"):
            self.function.internal = True
        self.b = Builder(self.function.append_basic_block())
        self.pool, self.triple = self.function.args[0], triple

    # -- memory that threads share

    def field(self, offset: int, base: ir.Value | None = None) -> ir.Value:
        return self.b.gep(self.pool if base is None else base, integer(offset), I8)

    def line(self, thread: ir.Value) -> ir.Value:
        """The lines of a thread."""
        return self.b.gep(self.field(FIRST), self.b.mul(thread, integer(LINE)), I8)

    def get(self, offset: int, base: ir.Value | None = None, kind: ir.Type = I64) -> ir.Value:
        return self.b.load_atomic(self.field(offset, base), "seq_cst", 8, kind)

    def put(self, offset: int, value: ir.Value, base: ir.Value | None = None) -> None:
        self.b.atomic_rmw("xchg", self.field(offset, base), value, "seq_cst")

    def plus(self, offset: int, value: ir.Value) -> ir.Value:
        """Add to a word; its new value."""
        return self.b.add(self.b.atomic_rmw("add", self.field(offset), value, "seq_cst"), value)

    def swap(self, pointer: ir.Value, old: ir.Value, new: ir.Value) -> ir.Value:
        """Whether the word was ``old``; then it is ``new`` now."""
        return self.b.exchanged(pointer, old, new, "seq_cst")

    # -- control

    @contextmanager
    def counting(self, start: ir.Value, stop: ir.Value) -> Iterator[ir.Value]:
        """Once for every number from ``start`` to before ``stop``."""
        b, before = self.b, self.b.block
        head, body, after = (b.append_basic_block() for _ in range(3))
        b.branch(head)
        b.position_at_end(head)
        i = b.phi(I64)
        i.add_incoming(start, before)
        b.cbranch(b.icmp_signed("<", i, stop), body, after)
        b.position_at_end(body)
        yield i
        i.add_incoming(b.add(i, integer(1)), b.block)
        b.branch(head)
        b.position_at_end(after)

    def pause(self) -> None:
        """Tell the processor that this is a loop that waits."""
        module, arguments = self.b.module, []
        if self.triple.startswith(("x86", "i686", "amd64")):
            name = "llvm.x86.sse2.pause"
        elif self.triple.startswith(("aarch64", "arm64")):
            name, arguments = "llvm.aarch64.isb", [_I32(15)]
        else:
            return
        self.b.call(module.declared(name, _VOID, [a.type for a in arguments]), arguments)

    def wait(self, line: ir.Value, over: Callable[[], ir.Value], wake: ir.Function) -> None:
        """Until ``over()`` holds: look ``SPINS`` times, then sleep until somebody calls ``wake`` on the line.

        Whoever makes it hold looks at ``ASLEEP`` afterwards; here it is set before the last look. So one of the two
        sees the other. The waker takes ``ASLEEP`` back and frees the lock, exactly once for each sleep.
        """
        b = self.b
        look, rest, nap, after = (b.append_basic_block() for _ in range(4))
        before = b.block
        b.branch(look)
        b.position_at_end(look)
        turn = b.phi(I64)
        turn.add_incoming(integer(SPINS), before)
        pausing = b.append_basic_block()
        b.cbranch(over(), after, pausing)
        b.position_at_end(pausing)
        self.pause()
        left = b.sub(turn, integer(1))
        turn.add_incoming(left, b.block)
        b.cbranch(b.icmp_signed(">", left, integer(0)), look, rest)
        b.position_at_end(rest)
        self.put(ASLEEP, integer(1), line)
        with b.if_then(over()):
            b.call(wake, [self.pool, line])  # wakes this very thread, unless somebody has done so
        b.branch(nap)
        b.position_at_end(nap)
        sleep = b.load(self.field(SLEEP), PTR)
        b.call(sleep, [b.load(self.field(LOCK, line), PTR), _I32(1)], _SLEEP_TYPE)
        turn.add_incoming(integer(SPINS), b.block)
        b.branch(look)
        b.position_at_end(after)

    # -- the functions

    def wake(self) -> ir.Function:
        """``wake(pool, line)``: let the thread of the line go on, if it sleeps."""
        b, line = self.b, self.function.args[1]
        with b.if_then(b.icmp_unsigned("!=", self.get(ASLEEP, line), integer(0))), \
                b.if_then(self.swap(self.field(ASLEEP, line), integer(1), integer(0))):
            wake = b.load(self.field(WAKE), PTR)
            b.call(wake, [b.load(self.field(LOCK, line), PTR)], _WAKE_TYPE)
        b.ret_void()
        return self.function

    def take(self) -> ir.Function:
        """``take(pool, me, number, scratch)``: run chunks of that job as long as there are any; how many they were."""
        b, (_, me, number, scratch) = self.b, self.function.args
        part = self.get(PART, kind=PTR)
        pointers, arena, axes = (self.get(o, kind=PTR) for o in (POINTERS, ARENA, AXES))
        units, chunks, each, threads = (self.get(o) for o in (UNITS, CHUNKS, EACH, THREADS))
        threads = b.select(b.icmp_unsigned("==", self.get(NUMBER), number), threads, integer(0))
        total = b.alloca(I64)
        b.store(integer(0), total)
        with self.counting(integer(0), threads) as step:
            other = b.add(me, step)
            other = b.select(b.icmp_unsigned(">=", other, threads), b.sub(other, threads), other)
            claims = self.field(CLAIMS, self.line(other))
            again, taken, after = (b.append_basic_block() for _ in range(3))
            b.branch(again)
            b.position_at_end(again)
            word = b.load_atomic(claims, "seq_cst", 8, I64)
            place = b.and_(word, integer(255))
            chunk = b.add(b.mul(other, each), place)
            left = b.and_(b.icmp_unsigned("<", place, each), b.icmp_unsigned("<", chunk, chunks))
            left = b.and_(left, b.icmp_unsigned("==", b.lshr(word, integer(8)), number))
            trial = b.append_basic_block()
            b.cbranch(left, trial, after)
            b.position_at_end(trial)
            b.cbranch(self.swap(claims, word, b.add(word, integer(1))), taken, again)
            b.position_at_end(taken)
            begin, end = (b.udiv(b.mul(c, units), chunks) for c in (chunk, b.add(chunk, integer(1))))
            b.call(part, [pointers, arena, scratch, axes, begin, end], PART_TYPE)
            b.store(b.add(b.load(total, I64), integer(1)), total)
            b.branch(again)
            b.position_at_end(after)
        b.ret(b.load(total, I64))
        return self.function

    def dispatch(self, take: ir.Function, wake: ir.Function) -> None:
        b = self.b
        _, part, pointers, arena, scratch, axes, units, grain = self.function.args
        threads = self.get(COUNT)
        alone, together = b.append_basic_block(), b.append_basic_block()
        asking = b.append_basic_block()
        b.cbranch(b.and_(b.icmp_unsigned(">", threads, integer(1)), b.icmp_unsigned(">", units, integer(1))),
                  asking, alone)
        b.position_at_end(asking)
        b.cbranch(self.swap(self.field(BUSY), integer(0), integer(1)), together, alone)
        b.position_at_end(alone)
        b.call(part, [pointers, arena, scratch, axes, integer(0), units], PART_TYPE)
        b.ret_void()
        b.position_at_end(together)
        threads = self.get(COUNT)  # a change of it waits for BUSY
        each = b.udiv(units, threads)
        each = b.select(b.icmp_unsigned("<", each, grain), each, grain)
        each = b.select(b.icmp_unsigned("<", each, integer(1)), integer(1), each)
        most = b.mul(each, threads)
        chunks = b.select(b.icmp_unsigned("<", units, most), units, most)
        number = b.add(b.load(self.field(NUMBER), I64), integer(1))
        facts = [(NUMBER, number), (POINTERS, pointers), (ARENA, arena), (PART, part), (AXES, axes), (UNITS, units),
                 (CHUNKS, chunks), (EACH, each), (THREADS, threads), (DONE, integer(0))]
        for offset, value in facts:
            b.store_atomic(value, self.field(offset), "release", 8)
        with self.counting(integer(0), threads) as k:
            self.put(CLAIMS, b.shl(number, integer(8)), self.line(k))
        with self.counting(integer(1), b.select(b.icmp_unsigned("<", chunks, threads), chunks, threads)) as k:
            b.call(wake, [self.pool, self.line(k)])
        self.plus(DONE, b.call(take, [self.pool, integer(0), number, scratch]))
        first = self.line(integer(0))
        self.wait(first, lambda: b.icmp_unsigned("==", self.get(DONE), chunks), wake)
        self.put(BUSY, integer(0))
        b.ret_void()

    def work(self, take: ir.Function, wake: ir.Function) -> None:
        b, me = self.b, self.function.args[1]
        line = self.line(me)
        number = b.alloca(I64)
        b.store(b.lshr(self.get(CLAIMS, line), integer(8)), number)
        turn, leave, busy = (b.append_basic_block() for _ in range(3))
        b.branch(turn)
        b.position_at_end(turn)

        def called() -> ir.Value:
            new = b.icmp_unsigned("!=", b.lshr(self.get(CLAIMS, line), integer(8)), b.load(number, I64))
            return b.or_(new, b.icmp_unsigned("!=", self.get(STOP, line), integer(0)))
        self.wait(line, called, wake)
        b.cbranch(b.icmp_unsigned("!=", self.get(STOP, line), integer(0)), leave, busy)
        b.position_at_end(busy)
        now = b.lshr(self.get(CLAIMS, line), integer(8))
        b.store(now, number)
        count = b.call(take, [self.pool, me, now, b.load(self.field(SCRATCH, line), PTR)])
        with b.if_then(b.icmp_unsigned("!=", count, integer(0))):
            chunks = b.load(self.field(CHUNKS), I64)  # of this job still: it needs these chunks to end
            with b.if_then(b.icmp_unsigned("==", self.plus(DONE, count), chunks)):
                b.call(wake, [self.pool, self.line(integer(0))])
        b.branch(turn)
        b.position_at_end(leave)
        b.ret_void()

    def stop(self, wake: ir.Function) -> None:
        b, line = self.b, self.line(self.function.args[1])
        self.put(STOP, integer(1), line)
        b.call(wake, [self.pool, line])
        b.ret_void()

