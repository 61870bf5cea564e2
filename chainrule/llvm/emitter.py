"""Typed values and instructions: a thin, dtype-aware layer over the instruction builder.

A :class:`Val` is an LLVM value of one lane or many (a vector), together with its NumPy dtype, which
carries the signedness that LLVM's integers lack. Every arithmetic method of :class:`Emitter` works on
any number of lanes, so one lowering serves a scalar, a full vector and a short tail. Memory holds
NumPy's layout (a bool is one byte); registers hold a bool as ``i1``, and a half number as its 16 bits, which are only
moved, selected and converted (``llvm/half.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from chainrule import dtypes
from chainrule.llvm import ir
from chainrule.llvm.builder import Builder

I1, I8, I32, I64 = ir.integer_type(1), ir.integer_type(8), ir.integer_type(32), ir.integer_type(64)
PTR = ir.POINTER
BOOL, INT64 = np.dtype(np.bool_), np.dtype(np.int64)
# Multiply-add may be contracted to one rounding; nothing else about IEEE arithmetic is relaxed.
CONTRACT = ("contract",)


@dataclass(slots=True, eq=False)
class Val:
    """An LLVM value with its NumPy dtype. ``lanes`` is 1 for a scalar."""

    ir: ir.Value
    dtype: np.dtype

    @property
    def lanes(self) -> int:
        return self.ir.type.count


def element_type(dtype: np.dtype) -> ir.Type:
    """The LLVM type of one element in a register."""
    if dtype.kind == "b":
        return I1
    if dtype.kind in "iu" or dtypes.is_half(dtype):
        return ir.integer_type(8 * dtype.itemsize)
    return ir.FLOAT if dtype.itemsize == 4 else ir.DOUBLE


@cache
def lane_type(dtype: np.dtype, lanes: int) -> ir.Type:
    """The LLVM type of ``lanes`` elements in a register."""
    element = element_type(dtype)
    return element if lanes == 1 else ir.vector_type(element, lanes)


@lru_cache(maxsize=4096)
def integer(value: int) -> ir.Constant:
    """An index, or a number of bytes or elements."""
    return ir.Constant(I64, value)


@cache
def _lane(number: int) -> ir.Constant:
    return ir.Constant(I32, number)


@lru_cache(maxsize=4096)
def _lanes(numbers: tuple[int, ...]) -> ir.Constant:
    """What a shuffle picks."""
    return ir.Constant(ir.vector_type(I32, len(numbers)), numbers)


def python_value(dtype: np.dtype, value: object) -> int | float:
    """``value`` as the Python number that constants take."""
    if dtypes.is_half(dtype):
        return int(np.asarray(value, dtype).view(np.uint16))
    return float(value) if dtype.kind == "f" else int(value)  # type: ignore[call-overload,arg-type]


class Emitter:
    """Emits instructions at the end of the current block of one function.

    ``fast`` allows multiply-add contraction in :meth:`add`, :meth:`sub` and :meth:`mul`; the vector
    mathematics switches it off (:meth:`exact`) where it relies on single roundings. ``native_half`` says that the
    processor converts float16, ``hides_counts`` that LLVM is not to see how loops count (``compiler/effort.py``).
    """

    def __init__(self, builder: Builder, math: dict[str, Callable[..., Val]] | None = None,
                 native_half: bool = False) -> None:
        self.b = builder
        self.native_half = native_half
        self.hides_counts = False
        self.flags: tuple[str, ...] = CONTRACT
        self._math = math if math is not None else {}

    # -- constants and shapes of values

    def const(self, value: object, dtype: np.dtype | type, lanes: int = 1) -> Val:
        """``value`` in every lane."""
        return _constant(_plain(value), np.dtype(dtype), lanes)

    def vector(self, values: Sequence[object], dtype: np.dtype | type) -> Val:
        """A constant vector with one value a lane."""
        dtype = np.dtype(dtype)
        element = element_type(dtype)
        items = [python_value(dtype, v) for v in values]
        return Val(element(items[0]) if len(items) == 1 else ir.Constant(lane_type(dtype, len(items)), items), dtype)

    def like(self, x: Val, value: object) -> Val:
        """The constant ``value`` with the dtype and lanes of ``x``."""
        return self.const(value, x.dtype, x.lanes)

    def index(self, value: int) -> Val:
        return Val(integer(value), INT64)

    def splat(self, x: Val, lanes: int) -> Val:
        """The scalar ``x`` in every lane of a vector."""
        if lanes == 1 or x.lanes == lanes:
            return x
        if isinstance(x.ir, ir.Constant):
            return Val(ir.Constant(lane_type(x.dtype, lanes), [x.ir.constant] * lanes), x.dtype)
        undefined = ir.undefined(lane_type(x.dtype, lanes))
        first = self.b.insert_element(undefined, x.ir, _lane(0))
        return Val(self.b.shuffle_vector(first, undefined, _lanes((0,) * lanes)), x.dtype)

    def shuffle(self, a: Val, b: Val, lanes: Sequence[int]) -> Val:
        """Lanes picked from ``a`` (0 … n-1) and ``b`` (n … 2n-1)."""
        return Val(self.b.shuffle_vector(a.ir, b.ir, _lanes(tuple(lanes))), a.dtype)

    def extract(self, x: Val, lane: int) -> Val:
        return x if x.lanes == 1 else Val(self.b.extract_element(x.ir, _lane(lane)), x.dtype)

    def insert(self, x: Val, one: Val, lane: int) -> Val:
        return one if x.lanes == 1 else Val(self.b.insert_element(x.ir, one.ir, _lane(lane)), x.dtype)

    def lane_numbers(self, start: Val, lanes: int, step: int = 1) -> Val:
        """``start, start + step, …`` with the dtype of ``start``."""
        if lanes == 1:
            return start
        return self.add(self.splat(start, lanes), self.vector([step * i for i in range(lanes)], start.dtype))

    # -- arithmetic (floats, signed and unsigned integers; integers wrap around as NumPy's)

    def _pick(self, x: Val, on_float: Callable, on_int: Callable, *args: Val) -> Val:
        if x.dtype.kind == "f":
            return Val(on_float(*(a.ir for a in args), flags=self.flags), x.dtype)
        return Val(on_int(*(a.ir for a in args)), x.dtype)

    def add(self, x: Val, y: Val) -> Val:
        return self._pick(x, self.b.fadd, self.b.or_ if x.dtype == BOOL else self.b.add, x, y)

    def sub(self, x: Val, y: Val) -> Val:
        return self._pick(x, self.b.fsub, self.b.sub, x, y)

    def mul(self, x: Val, y: Val) -> Val:
        return self._pick(x, self.b.fmul, self.b.and_ if x.dtype == BOOL else self.b.mul, x, y)

    def div(self, x: Val, y: Val) -> Val:
        """Floating-point quotient."""
        return Val(self.b.fdiv(x.ir, y.ir), x.dtype)

    def quotient(self, x: Val, y: Val) -> Val:
        """Integer quotient, truncated; the caller keeps zero and overflow away."""
        return Val((self.b.udiv if x.dtype.kind == "u" else self.b.sdiv)(x.ir, y.ir), x.dtype)

    def remainder(self, x: Val, y: Val) -> Val:
        """Remainder of the truncated quotient (of floats: C's fmod)."""
        if x.dtype.kind == "f":
            return Val(self.b.frem(x.ir, y.ir), x.dtype)
        return Val((self.b.urem if x.dtype.kind == "u" else self.b.srem)(x.ir, y.ir), x.dtype)

    def neg(self, x: Val) -> Val:
        if x.dtype.kind == "f":
            return Val(self.b.fneg(x.ir), x.dtype)
        return self.sub(self.like(x, 0), x)

    def fma(self, x: Val, y: Val, z: Val) -> Val:
        """x·y + z, rounded once (floats)."""
        return self.intrinsic("fma", x, y, z)

    def exact(self) -> _Exact:
        """``with e.exact():`` no contraction of separate multiplies and adds inside."""
        return _Exact(self)

    def intrinsic(self, name: str, *args: Val) -> Val:
        """An overloaded LLVM intrinsic whose result and arguments share one type."""
        kind = args[0].ir.type
        suffix = _suffix(args[0])
        function = self.b.module.declared(f"llvm.{name}.{suffix}", kind, [a.ir.type for a in args])
        return Val(self.b.call(function, [a.ir for a in args]), args[0].dtype)

    def sqrt(self, x: Val) -> Val:
        return self.intrinsic("sqrt", x)

    def floor(self, x: Val) -> Val:
        return self.intrinsic("floor", x)

    def ceil(self, x: Val) -> Val:
        return self.intrinsic("ceil", x)

    def trunc(self, x: Val) -> Val:
        return self.intrinsic("trunc", x)

    def rint(self, x: Val) -> Val:
        """Nearest integer, ties to even."""
        return self.intrinsic("rint", x)

    def abs(self, x: Val) -> Val:
        if x.dtype.kind == "f":
            return self.intrinsic("fabs", x)
        if x.dtype.kind in "ub":
            return x
        return self.select(self.lt(x, self.like(x, 0)), self.neg(x), x)

    def copysign(self, magnitude: Val, sign: Val) -> Val:
        return self.intrinsic("copysign", magnitude, sign)

    def min(self, x: Val, y: Val) -> Val:
        """The smaller; NaN if either is (NumPy's ``minimum``)."""
        return self._extreme(x, y, self.lt)

    def max(self, x: Val, y: Val) -> Val:
        """The larger; NaN if either is (NumPy's ``maximum``)."""
        return self._extreme(x, y, self.gt)

    def _extreme(self, x: Val, y: Val, better: Callable[[Val, Val], Val]) -> Val:
        if x.dtype.kind != "f":
            return self.select(better(x, y), x, y)
        # one instruction on x86, which gives x where one is NaN; x, a running result, is waited for shortly
        return self.select(self.isnan(y), y, self.select(better(y, x), y, x))

    def isnan(self, x: Val) -> Val:
        return Val(self.b.fcmp_unordered("uno", x.ir, x.ir), BOOL)

    # -- comparisons (False where an operand is NaN, except ne)

    def _compare(self, sign: str, x: Val, y: Val) -> Val:
        if x.dtype.kind == "f":
            compare = self.b.fcmp_unordered if sign == "!=" else self.b.fcmp_ordered
        else:
            compare = self.b.icmp_signed if x.dtype.kind == "i" else self.b.icmp_unsigned
        return Val(compare(sign, x.ir, y.ir), BOOL)

    def lt(self, x: Val, y: Val) -> Val:
        return self._compare("<", x, y)

    def le(self, x: Val, y: Val) -> Val:
        return self._compare("<=", x, y)

    def gt(self, x: Val, y: Val) -> Val:
        return self._compare(">", x, y)

    def ge(self, x: Val, y: Val) -> Val:
        return self._compare(">=", x, y)

    def eq(self, x: Val, y: Val) -> Val:
        return self._compare("==", x, y)

    def ne(self, x: Val, y: Val) -> Val:
        return self._compare("!=", x, y)

    # -- bits

    def and_(self, x: Val, y: Val) -> Val:
        return Val(self.b.and_(x.ir, y.ir), x.dtype)

    def or_(self, x: Val, y: Val) -> Val:
        return Val(self.b.or_(x.ir, y.ir), x.dtype)

    def xor(self, x: Val, y: Val) -> Val:
        return Val(self.b.xor(x.ir, y.ir), x.dtype)

    def not_(self, x: Val) -> Val:
        return Val(self.b.not_(x.ir), x.dtype)

    def shl(self, x: Val, y: Val) -> Val:
        return Val(self.b.shl(x.ir, y.ir), x.dtype)

    def shr(self, x: Val, y: Val) -> Val:
        """Right shift: arithmetic for signed, logical for unsigned integers."""
        return Val((self.b.lshr if x.dtype.kind == "u" else self.b.ashr)(x.ir, y.ir), x.dtype)

    def select(self, condition: Val, x: Val, y: Val) -> Val:
        return Val(self.b.select(condition.ir, x.ir, y.ir), x.dtype)

    def bitcast(self, x: Val, dtype: np.dtype | type | str) -> Val:
        """The same bits read as another dtype of equal width."""
        dtype = np.dtype(dtype)
        target = lane_type(dtype, x.lanes)
        return Val(x.ir if target == x.ir.type else self.b.bitcast(x.ir, target), dtype)

    def cast(self, x: Val, dtype: np.dtype | type) -> Val:
        """Value conversion with NumPy's ``astype`` meaning."""
        dtype = np.dtype(dtype)
        if dtype == x.dtype:
            return x
        if dtypes.is_half(x.dtype):
            return self.cast(self.math("widen", x), dtype)
        if dtypes.is_half(dtype):
            return self.narrow(x if x.dtype.kind == "f" else self.cast(x, dtypes.FLOAT32), dtype)
        if dtype == BOOL:
            return self.ne(x, self.like(x, 0))
        target, source = lane_type(dtype, x.lanes), x.dtype
        if source.kind == "f" and dtype.kind == "f":
            out = self.b.fpext(x.ir, target) if dtype.itemsize > source.itemsize else self.b.fptrunc(x.ir, target)
        elif source.kind == "f":
            out = self._float_to_int(x, dtype)
        elif dtype.kind == "f":
            out = (self.b.sitofp if source.kind == "i" else self.b.uitofp)(x.ir, target)
        elif source == BOOL or dtype.itemsize > source.itemsize:
            out = (self.b.sext if source.kind == "i" else self.b.zext)(x.ir, target)
        elif dtype.itemsize < source.itemsize:
            out = self.b.trunc(x.ir, target)
        else:
            out = x.ir
        return Val(out, dtype)

    def narrow(self, x: Val, dtype: np.dtype) -> Val:
        """A float rounded to a half type."""
        return self._math["narrow"](self, x, dtype)

    def _float_to_int(self, x: Val, dtype: np.dtype) -> ir.Value:
        """Truncated; what no integer can hold saturates (LLVM's plain conversion leaves it undefined)."""
        wide = dtype if dtype.itemsize == 8 else INT64  # narrow types wrap around, as in NumPy
        target = lane_type(wide, x.lanes)
        suffix = f"i64.{_suffix(x)}" if x.lanes == 1 else f"v{x.lanes}i64.{_suffix(x)}"
        name = f"llvm.fpto{'u' if wide.kind == 'u' else 's'}i.sat.{suffix}"
        converted = self.b.call(self.b.module.declared(name, target, [x.ir.type]), [x.ir])
        return converted if wide is dtype else self.b.trunc(converted, lane_type(dtype, x.lanes))

    def math(self, name: str, *args: Val) -> Val:
        """A function of the vector mathematics (``llvm/math.py``) by name."""
        return self._math[name](self, *args)

    def reduce(self, combine: Callable[[Val, Val], Val], x: Val) -> Val:
        """Combine all lanes to one, pairwise in a fixed order: halves until one lane is left."""
        while x.lanes > 1:
            half, odd = divmod(x.lanes, 2)
            rest = self.extract(x, x.lanes - 1) if odd else None
            if half == 1:
                x = combine(self.extract(x, 0), self.extract(x, 1))
            else:
                low = self.shuffle(x, x, range(half))
                x = combine(low, self.shuffle(x, x, range(half, 2 * half)))
            if rest is not None:
                first = combine(self.extract(x, 0), rest)
                x = self.insert(x, first, 0)
        return x

    def mended(self, where: Val, usual: Val, rare: Callable[[], Val]) -> Val:
        """``usual``, but ``rare()`` in the lanes ``where``; the code of ``rare`` runs only if there is such a lane."""
        b = self.b
        one_word = where.ir
        if where.lanes > 1:
            bits = ir.integer_type(where.lanes)
            one_word = b.icmp_unsigned("!=", b.bitcast(where.ir, bits), bits(0))
        before, seldom, after = b.block, b.append_basic_block(), b.append_basic_block()
        b.cbranch(one_word, seldom, after, rare=True)
        b.position_at_end(seldom)
        other = self.select(where, rare(), usual)
        seldom = b.block
        b.branch(after)
        b.position_at_end(after)
        result = b.phi(usual.ir.type)
        result.add_incoming(usual.ir, before)
        result.add_incoming(other.ir, seldom)
        return Val(result, usual.dtype)

    # -- memory

    def at(self, pointer: ir.Value, offset: Val | int, dtype: np.dtype) -> ir.Value:
        """The address of element ``offset`` of an array of ``dtype`` at ``pointer``."""
        index = integer(offset) if isinstance(offset, int) else offset.ir
        if isinstance(index, ir.Constant) and index.constant == 0:
            return pointer
        memory = I8 if dtype == BOOL else element_type(dtype)
        return self.b.gep(pointer, index, memory)

    def load(self, pointer: ir.Value, dtype: np.dtype, lanes: int = 1, volatile: bool = False) -> Val:
        """Consecutive elements at ``pointer``, which needs no more than an element's alignment."""
        if dtype == BOOL:
            memory = I8 if lanes == 1 else ir.vector_type(I8, lanes)
            byte = self.b.load(pointer, memory, 1, volatile)
            return Val(self.b.trunc(byte, lane_type(dtype, lanes)), dtype)
        return Val(self.b.load(pointer, lane_type(dtype, lanes), dtype.itemsize, volatile), dtype)

    def load_splat(self, pointer: ir.Value, dtype: np.dtype, lanes: int) -> Val:
        """The element at ``pointer`` in every lane."""
        if lanes == 1 or dtype == BOOL:
            return self.splat(self.load(pointer, dtype), lanes)
        one = self.b.load(pointer, ir.vector_type(element_type(dtype), 1), dtype.itemsize)
        return Val(self.b.shuffle_vector(one, ir.undefined(one.type), _lanes((0,) * lanes)), dtype)

    def store(self, x: Val, pointer: ir.Value) -> None:
        """Write the lanes of ``x`` to consecutive elements at ``pointer``."""
        value = x.ir
        if x.dtype == BOOL:
            value = self.b.zext(value, I8 if x.lanes == 1 else ir.vector_type(I8, x.lanes))
        self.b.store(value, pointer, x.dtype.itemsize)

    # -- control

    @contextmanager
    def loop(self, start: Val | int, stop: Val | int, step: int = 1, carry: Sequence[Val] = ()) -> Iterator[Loop]:
        """``for i in range(start, stop, step)``; ``loop.carry`` holds the carried values inside.

        Call ``loop.next(values)`` inside to set what the next turn carries. After the block ``loop.carry``
        holds the values after the last turn. The trip count may be zero.
        """
        b = self.b
        runs = isinstance(start, int) and isinstance(stop, int) and start < stop  # at least once: test at the end
        start = self.index(start) if isinstance(start, int) else start
        stop = self.index(stop) if isinstance(stop, int) else stop
        before = b.block
        head = b.append_basic_block()
        body = head if runs else b.append_basic_block()
        after = b.append_basic_block()
        b.branch(head)
        b.position_at_end(head)
        i = b.phi(I64)
        i.add_incoming(start.ir, before)
        phis = [b.phi(c.ir.type) for c in carry]
        for phi, c in zip(phis, carry, strict=True):
            phi.add_incoming(c.ir, before)
        if not runs:
            b.cbranch(b.icmp_signed("<", i, stop.ir), body, after)
            b.position_at_end(body)
        inside = [Val(phi, c.dtype) for phi, c in zip(phis, carry, strict=True)]
        loop = Loop(Val(i, INT64), inside)
        yield loop
        for phi, c in zip(phis, loop.result, strict=True):
            phi.add_incoming(c.ir, b.block)
        following = b.add(i, integer(step), flags=("nsw",))
        if self.hides_counts:
            following = b.hidden(following, movable=True)
        i.add_incoming(following, b.block)
        if runs:
            b.cbranch(b.icmp_signed("<", following, stop.ir), head, after)
        else:
            b.branch(head)
        b.position_at_end(after)
        loop.carry = loop.result if runs else inside


class Loop:
    """A loop being emitted: its index, and the values it carries from turn to turn."""

    def __init__(self, index: Val, carry: list[Val]) -> None:
        self.index, self.carry = index, carry
        self.result: list[Val] = carry

    def next(self, values: Sequence[Val]) -> None:
        self.result = list(values)


class _Exact:
    def __init__(self, emitter: Emitter) -> None:
        self.emitter = emitter

    def __enter__(self) -> None:
        self.before, self.emitter.flags = self.emitter.flags, ()

    def __exit__(self, *_: object) -> None:
        self.emitter.flags = self.before


def _plain(value: object) -> object:
    """A hashable number; the bits of a float are kept apart from equal numbers of other bits (-0.0, NaN)."""
    return value.item() if isinstance(value, np.generic | np.ndarray) else value


def _constant(value: object, dtype: np.dtype, lanes: int) -> Val:
    key = (repr(value), dtype, lanes)
    known = _CONSTANTS.get(key)
    if known is None:
        number = python_value(dtype, np.asarray(value).astype(dtype))
        one = ir.Constant(element_type(dtype), number)
        vector = one if lanes == 1 else ir.Constant(lane_type(dtype, lanes), [number] * lanes)
        known = _CONSTANTS[key] = Val(vector, dtype)
    return known


_CONSTANTS: dict[tuple[str, np.dtype, int], Val] = {}


def _suffix(x: Val) -> str:
    element = ("f" if x.dtype.kind == "f" and x.dtype.itemsize > 2 else "i") + str(element_width(x.dtype))
    return element if x.lanes == 1 else f"v{x.lanes}{element}"


def element_width(dtype: np.dtype) -> int:
    """Bits of one element in a register."""
    return 1 if dtype == BOOL else 8 * dtype.itemsize
