"""Writes instructions, each once, as text at the end of a block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from chainrule.llvm.ir import (
    POINTER,
    VOID,
    Block,
    Constant,
    Function,
    FunctionType,
    Phi,
    Switch,
    Type,
    Value,
    VectorOf,
    integer_type,
    vector_type,
)

_I1 = integer_type(1)
_SIGNED = {"==": "eq", "!=": "ne", "<": "slt", "<=": "sle", ">": "sgt", ">=": "sge"}
_UNSIGNED = {"==": "eq", "!=": "ne", "<": "ult", "<=": "ule", ">": "ugt", ">=": "uge"}
_ORDERED = {"==": "oeq", "!=": "one", "<": "olt", "<=": "ole", ">": "ogt", ">=": "oge"}
_UNORDERED = {"==": "ueq", "!=": "une", "<": "ult", "<=": "ule", ">": "ugt", ">=": "uge", "uno": "uno"}


class Builder:
    """Appends instructions to a block; those with a result return its value."""

    def __init__(self, block: Block) -> None:
        self.function, self.module = block.function, block.function.module
        self.position_at_end(block)

    def position_at_end(self, block: Block) -> None:
        """Go on at the end of a block."""
        self.block, self._lines = block, block.lines

    def append_basic_block(self) -> Block:
        """A further block of the function, empty."""
        return self.function.append_basic_block()

    def _made(self, kind: Type, text: str) -> Value:
        function = self.function
        function.names += 1
        name = f"%v{function.names}"
        self._lines.append(f"{name} = {text}")
        return Value(kind, name)

    # -- arithmetic and bits

    def _binary(self, op: str, x: Value, y: Value, flags: Sequence[str] = ()) -> Value:
        kind = x.type
        words = f"{op} {' '.join(flags)}" if flags else op
        return self._made(kind, f"{words} {kind.text} {x.name}, {y.name}")

    def fadd(self, x: Value, y: Value, flags: Sequence[str] = ()) -> Value:
        return self._binary("fadd", x, y, flags)

    def fsub(self, x: Value, y: Value, flags: Sequence[str] = ()) -> Value:
        return self._binary("fsub", x, y, flags)

    def fmul(self, x: Value, y: Value, flags: Sequence[str] = ()) -> Value:
        return self._binary("fmul", x, y, flags)

    def fdiv(self, x: Value, y: Value) -> Value:
        return self._binary("fdiv", x, y)

    def frem(self, x: Value, y: Value) -> Value:
        return self._binary("frem", x, y)

    def fneg(self, x: Value) -> Value:
        return self._made(x.type, f"fneg {x.type.text} {x.name}")

    def add(self, x: Value, y: Value, flags: Sequence[str] = ()) -> Value:
        return self._binary("add", x, y, flags)

    def sub(self, x: Value, y: Value, flags: Sequence[str] = ()) -> Value:
        return self._binary("sub", x, y, flags)

    def mul(self, x: Value, y: Value, flags: Sequence[str] = ()) -> Value:
        return self._binary("mul", x, y, flags)

    def sdiv(self, x: Value, y: Value) -> Value:
        return self._binary("sdiv", x, y)

    def udiv(self, x: Value, y: Value) -> Value:
        return self._binary("udiv", x, y)

    def srem(self, x: Value, y: Value) -> Value:
        return self._binary("srem", x, y)

    def urem(self, x: Value, y: Value) -> Value:
        return self._binary("urem", x, y)

    def and_(self, x: Value, y: Value) -> Value:
        return self._binary("and", x, y)

    def or_(self, x: Value, y: Value) -> Value:
        return self._binary("or", x, y)

    def xor(self, x: Value, y: Value) -> Value:
        return self._binary("xor", x, y)

    def not_(self, x: Value) -> Value:
        lanes = x.type.count
        return self._binary("xor", x, Constant(x.type, -1 if lanes == 1 else [-1] * lanes))

    def shl(self, x: Value, y: Value) -> Value:
        return self._binary("shl", x, y)

    def lshr(self, x: Value, y: Value) -> Value:
        return self._binary("lshr", x, y)

    def ashr(self, x: Value, y: Value) -> Value:
        return self._binary("ashr", x, y)

    # -- comparisons, choices

    def _compared(self, op: str, x: Value, y: Value) -> Value:
        kind = x.type
        result = _I1 if kind.count == 1 else vector_type(_I1, kind.count)
        return self._made(result, f"{op} {kind.text} {x.name}, {y.name}")

    def icmp_signed(self, sign: str, x: Value, y: Value) -> Value:
        return self._compared(f"icmp {_SIGNED[sign]}", x, y)

    def icmp_unsigned(self, sign: str, x: Value, y: Value) -> Value:
        return self._compared(f"icmp {_UNSIGNED[sign]}", x, y)

    def fcmp_ordered(self, sign: str, x: Value, y: Value) -> Value:
        return self._compared(f"fcmp {_ORDERED[sign]}", x, y)

    def fcmp_unordered(self, sign: str, x: Value, y: Value) -> Value:
        return self._compared(f"fcmp {_UNORDERED[sign]}", x, y)

    def select(self, condition: Value, x: Value, y: Value) -> Value:
        kind = x.type.text
        return self._made(x.type, f"select {condition.type.text} {condition.name}, {kind} {x.name}, {kind} {y.name}")

    def phi(self, kind: Type) -> Phi:
        phi = Phi(kind, self.function.new_name())
        self._lines.append(phi)
        return phi

    # -- conversions

    def _converted(self, op: str, x: Value, kind: Type) -> Value:
        return self._made(kind, f"{op} {x.type.text} {x.name} to {kind.text}")

    def trunc(self, x: Value, kind: Type) -> Value:
        return self._converted("trunc", x, kind)

    def zext(self, x: Value, kind: Type) -> Value:
        return self._converted("zext", x, kind)

    def sext(self, x: Value, kind: Type) -> Value:
        return self._converted("sext", x, kind)

    def fpext(self, x: Value, kind: Type) -> Value:
        return self._converted("fpext", x, kind)

    def fptrunc(self, x: Value, kind: Type) -> Value:
        return self._converted("fptrunc", x, kind)

    def sitofp(self, x: Value, kind: Type) -> Value:
        return self._converted("sitofp", x, kind)

    def uitofp(self, x: Value, kind: Type) -> Value:
        return self._converted("uitofp", x, kind)

    def bitcast(self, x: Value, kind: Type) -> Value:
        return self._converted("bitcast", x, kind)

    def ptrtoint(self, x: Value, kind: Type) -> Value:
        return self._converted("ptrtoint", x, kind)

    # -- lanes

    def extract_element(self, x: Value, lane: Value) -> Value:
        assert isinstance(x.type, VectorOf)
        return self._made(x.type.element, f"extractelement {x.type.text} {x.name}, {lane.type.text} {lane.name}")

    def insert_element(self, x: Value, one: Value, lane: Value) -> Value:
        return self._made(x.type, f"insertelement {x.type.text} {x.name}, {one.type.text} {one.name}, "
                                  f"{lane.type.text} {lane.name}")

    def shuffle_vector(self, x: Value, y: Value, lanes: Value) -> Value:
        assert isinstance(x.type, VectorOf)
        kind = vector_type(x.type.element, lanes.type.count)
        return self._made(kind, f"shufflevector {x.type.text} {x.name}, {y.type.text} {y.name}, "
                                f"{lanes.type.text} {lanes.name}")

    # -- memory

    def alloca(self, kind: Type, count: int = 1) -> Value:
        return self._made(POINTER, f"alloca {kind.text}, i32 {count}")

    def gep(self, pointer: Value, offset: Value, source_type: Type) -> Value:
        """The address of element ``offset`` of those of a type that begin at ``pointer``."""
        return self._made(POINTER, f"getelementptr {source_type.text}, ptr {pointer.name}, "
                                   f"{offset.type.text} {offset.name}")

    def load(self, pointer: Value, kind: Type, align: int = 0, volatile: bool = False) -> Value:
        op = "load volatile" if volatile else "load"
        return self._made(kind, f"{op} {kind.text}, ptr {pointer.name}{_aligned(align)}")

    def store(self, x: Value, pointer: Value, align: int = 0) -> None:
        self._lines.append(f"store {x.type.text} {x.name}, ptr {pointer.name}{_aligned(align)}")

    def load_atomic(self, pointer: Value, ordering: str, align: int, kind: Type) -> Value:
        return self._made(kind, f"load atomic {kind.text}, ptr {pointer.name} {ordering}, align {align}")

    def store_atomic(self, x: Value, pointer: Value, ordering: str, align: int) -> None:
        self._lines.append(f"store atomic {x.type.text} {x.name}, ptr {pointer.name} {ordering}, align {align}")

    def atomic_rmw(self, op: str, pointer: Value, x: Value, ordering: str) -> Value:
        return self._made(x.type, f"atomicrmw {op} ptr {pointer.name}, {x.type.text} {x.name} {ordering}")

    def exchanged(self, pointer: Value, old: Value, new: Value, ordering: str) -> Value:
        """Whether the word was ``old``; then it is ``new`` now."""
        kind = old.type.text
        pair = self._made(VOID, f"cmpxchg ptr {pointer.name}, {kind} {old.name}, {kind} {new.name} "
                                f"{ordering} {ordering}")
        return self._made(_I1, f"extractvalue {{ {kind}, i1 }} {pair.name}, 1")

    def fence(self, ordering: str, scope: str) -> None:
        self._lines.append(f'fence syncscope("{scope}") {ordering}')

    # -- calls and control

    def call(self, function: Value, args: Sequence[Value], function_type: FunctionType | None = None) -> Value:
        """The result of a function; of one behind a pointer, ``function_type`` says what it takes."""
        if isinstance(function, Function):
            self.module.know(function)
            function_type = function.function_type
        assert function_type is not None
        result = function_type.result
        text = f"call {result.text} {function.name}({', '.join([f'{a.type.text} {a.name}' for a in args])})"
        if result is VOID:
            self._lines.append(text)
            return Value(VOID, "")
        return self._made(result, text)

    def hidden(self, x: Value, movable: bool = False) -> Value:
        """The same word, of which LLVM cannot see where it comes from; if ``movable``, it may be taken elsewhere."""
        stays = "" if movable else "sideeffect "
        return self._made(x.type, f'call {x.type.text} asm {stays}"", "=r,0"({x.type.text} {x.name})')

    def prefetch(self, pointer: Value) -> None:
        """Fetch the line at ``pointer`` to the caches, where it may be read soon."""
        I32 = integer_type(32)
        function = self.module.declared("llvm.prefetch.p0", VOID, [POINTER, I32, I32, I32])
        self.call(function, [pointer, I32(0), I32(3), I32(1)])

    def kept(self, x: Value) -> None:
        """Keep ``x`` in its register up to here; no instruction."""
        self._lines.append(f'call void asm sideeffect "", "X"({x.type.text} {x.name})')

    def ret(self, x: Value) -> None:
        self._lines.append(f"ret {x.type.text} {x.name}")

    def ret_void(self) -> None:
        self._lines.append("ret void")

    def branch(self, block: Block) -> None:
        self._lines.append(f"br label {block.name}")

    def cbranch(self, condition: Value, yes: Block, no: Block, rare: bool = False) -> None:
        """``rare``: that it seldom is ``yes``."""
        likely = ", !prof !0" if rare else ""
        self._lines.append(f"br i1 {condition.name}, label {yes.name}, label {no.name}{likely}")

    def switch(self, value: Value, default: Block) -> Switch:
        switch = Switch(value, default)
        self._lines.append(switch)
        return switch

    @contextmanager
    def if_then(self, condition: Value) -> Iterator[None]:
        """What is written inside runs only where the condition holds."""
        then, after = self.append_basic_block(), self.append_basic_block()
        self.cbranch(condition, then, after)
        self.position_at_end(then)
        yield
        self.branch(after)
        self.position_at_end(after)

    @contextmanager
    def if_else(self, condition: Value) -> Iterator[tuple[Branch, Branch]]:
        """Two contexts: what is written inside the first runs where the condition holds, else the second's."""
        yes, no, after = (self.append_basic_block() for _ in range(3))
        self.cbranch(condition, yes, no)
        yield Branch(self, yes, after), Branch(self, no, after)
        self.position_at_end(after)


class Branch:
    """One of the two ways of :meth:`Builder.if_else`."""

    def __init__(self, builder: Builder, block: Block, after: Block) -> None:
        self.builder, self.block, self.after = builder, block, after

    def __enter__(self) -> None:
        self.builder.position_at_end(self.block)

    def __exit__(self, *_: object) -> None:
        self.builder.branch(self.after)


def _aligned(align: int) -> str:
    return f", align {align}" if align else ""
