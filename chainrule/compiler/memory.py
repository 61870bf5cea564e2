"""Where values live: results computed in place where that is safe, the rest at offsets of one arena.

Needs: a lowered program. Gives: the program with copies removed, every temporary with an offset, and the
size of the arena.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeGuard

from chainrule.compiler.loops import (
    Access,
    Affine,
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
    Store,
    expressions,
    reads,
    roots,
    writes,
)
from chainrule.compiler.rows import touched_by

ALIGN = 64  # bytes: a cache line, and the widest vector


# ---------------------------------------------------------------- in place


def share_memory(program: Program, donated: Sequence[tuple[int, int]] = ()) -> Program:
    """Results in place. ``donated`` pairs (input, output): the output takes over the input's memory."""
    touched_by.cache_clear()  # passes before have changed loops
    program.statements = in_place(program.statements)
    for k, j in donated:
        source, result = program.inputs[k], program.outputs[j]
        if not _take_over(program.statements, result, source):
            axis = Axis("i", result.size)
            at = Affine(0, ((axis, 1),))
            temp = Buffer(f"kept{j}", result.size, result.dtype, "temp")
            program.temps.append(temp)
            result.shares = temp
            program.statements.append(Nest((axis,), [Store(Access(source, at), Load(Access(temp, at), source.dtype))],
                                           label="copy"))
            program.outputs[j] = source
    program.statements = _without_copies_to_self(program.statements)
    touched_by.cache_clear()  # it would keep the program alive
    return program


def in_place(statements: list[Statement]) -> list[Statement]:
    """Let the new value of a loop's carry be written over the old one where nothing needs the old one any more.

    Before: ``next = f(carry); …; carry = next``. After: ``carry = f(carry); …``.
    """
    for s in statements:
        if isinstance(s, Branch):
            s.bodies = [in_place(body) for body in s.bodies]
        if isinstance(s, Loop):
            s.body = in_place(s.body)
            for copy in [c for c in s.body if _is_whole_copy(c)]:
                source, target = _ends(copy)
                if source.kind == "temp" and source.shares is None and source is not target.home:
                    rest = [c for c in s.body if c is not copy]
                    if _take_over(rest, source, target):
                        s.body = rest
            s.body = _without_copies_to_self(s.body)
    return statements


def _take_over(statements: Sequence[Statement], new: Buffer, old: Buffer) -> bool:
    """Give ``new`` the memory of ``old`` if every read of ``old`` comes before ``new`` is first written."""
    if new.size != old.size or new.dtype != old.dtype or new.shares is not None:
        return False
    home = old.home
    touched = [touched_by(s) for s in statements]
    first = next((k for k, t in enumerate(touched) if new in t.written), None)
    if first is None or any(new in t.read for t in touched[:first]):
        return False
    if any(b.home is home for t in touched for b in t.written) or any(
            b.home is home for t in touched[first + 1:] for b in t.read):
        return False
    if not _same_elements(statements[first], new, home):
        return False
    new.shares = old
    return True


def _same_elements(s: Statement, new: Buffer, old: Buffer) -> bool:
    """Whether ``s`` reads of ``old`` only the elements that it then writes to ``new``, one by one."""
    if isinstance(s, Loop | Custom | Branch):
        return all(r.buffer.home is not old for r in reads(s))
    targets = [store.access.at.key for store in s.stores if store.access.buffer is new]
    if isinstance(s, Contract) and old in (s.a.buffer.home, s.b.buffer.home):
        return False
    if isinstance(s, Nest) and s.body is not None and any(_reads_from(e, old) for e in expressions([s.body])):
        return False
    read = [e.access.at.key for e in expressions(roots(s)) if _reads_from(e, old)]
    return all(r == t for r in read for t in targets)


def _reads_from(e: object, old: Buffer) -> bool:
    return isinstance(e, Load) and e.access.buffer.home is old


def _is_whole_copy(s: Statement) -> TypeGuard[Nest]:
    if not (isinstance(s, Nest) and s.combine is None and len(s.stores) == 1 and isinstance(s.stores[0].value, Load)):
        return False
    load, store = s.stores[0].value.access, s.stores[0]
    return (
        not store.accumulate
        and load.at.key == store.access.at.key
        and load.at.offset == 0
        and {a for a, _ in load.at.terms} <= set(s.axes)
        and _points(s) == load.buffer.size == store.access.buffer.size
    )


def _points(s: Nest) -> int:
    n = 1
    for a in s.axes:
        n *= a.extent
    return n


def _ends(s: Nest) -> tuple[Buffer, Buffer]:
    return s.stores[0].value.access.buffer, s.stores[0].access.buffer


def _without_copies_to_self(statements: list[Statement]) -> list[Statement]:
    return [s for s in statements if not (_is_whole_copy(s) and _ends(s)[0].home is _ends(s)[1].home)]


# ---------------------------------------------------------------- the arena


def assign_offsets(program: Program) -> Program:
    """Give every temporary an offset such that values alive at one time do not overlap, and the arena its size.

    A temporary lives from its first to its last use; one that is used inside a loop and outside of it lives
    through the whole loop, and so does all that a parallel loop uses. First fit, by size.
    """
    spans: dict[Buffer, tuple[int, int]] = {}
    _walk(program.statements, 0, spans, _uses(program.statements))
    program.temps = [b for b in program.temps if b.shares is None and b in spans]
    placed: list[tuple[int, int, Buffer]] = []
    for b in sorted(program.temps, key=lambda b: -b.size * b.dtype.itemsize):
        first, last = spans[b]
        size = -(-max(b.size, 1) * b.dtype.itemsize // ALIGN) * ALIGN
        taken = sorted((o, e) for o, e, other in placed if spans[other][0] <= last and first <= spans[other][1])
        offset = 0
        for start, end in taken:
            if start - offset >= size:
                break
            offset = max(offset, end)
        b.offset = offset
        placed.append((offset, offset + size, b))
    program.arena = max((end for _, end, _ in placed), default=0)
    return program


def _uses(statements: Sequence[Statement]) -> Counter[Buffer]:
    """How often each buffer is read and written."""
    return Counter(access.buffer.home for s in statements for access in (*reads(s), *writes(s)))


def _walk(statements: Sequence[Statement], clock: int, spans: dict[Buffer, tuple[int, int]],
          uses: Counter[Buffer]) -> int:
    """Number the statements; note when each temporary is used. ``uses`` counts all that there are."""
    for s in statements:
        if isinstance(s, Loop):
            begin = clock
            local: dict[Buffer, tuple[int, int]] = {}
            clock = _walk(s.body, clock + 1, local, uses) + 1
            for flag in (s.until, s.holds):
                if flag is not None:
                    _use(local, flag.buffer, clock)
            within = _uses([s])
            outside = _carried(s) | {b for b in local if within[b] < uses[b]}
            for b, (first, last) in local.items():
                _span(spans, b, *((begin, clock) if s.parallel or b in outside else (first, last)))
            clock += 1
        elif isinstance(s, Branch):
            _use(spans, s.index.buffer, clock)
            for body in s.bodies:
                clock = _walk(body, clock + 1, spans, uses)
            clock += 1
        else:
            for access in (*reads(s), *writes(s)):
                _use(spans, access.buffer, clock)
            clock += 1
    return clock


def _carried(loop: Loop) -> set[Buffer]:
    """Buffers whose value enters a turn from before it: read, in the order of the body, before they are written."""
    written: set[Buffer] = set()
    carried: set[Buffer] = set()
    for s in loop.body:
        carried |= {r.buffer.home for r in reads(s)} - written
        written |= {w.buffer.home for w in writes(s)}
        if isinstance(s, Loop):
            carried |= _carried(s) - written
    return carried


def _use(spans: dict[Buffer, tuple[int, int]], buffer: Buffer, clock: int) -> None:
    _span(spans, buffer.home, clock, clock)


def _span(spans: dict[Buffer, tuple[int, int]], b: Buffer, first: int, last: int) -> None:
    if b.kind == "temp":
        have = spans.get(b, (first, last))
        spans[b] = (min(have[0], first), max(have[1], last))
