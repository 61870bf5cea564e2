"""Conversions between the half types (float16, bfloat16) and float32, on any number of lanes.

Registers hold a half number as its 16 bits, which nothing computes with: all arithmetic is in float32 (the compiler's
``widen`` pass). Both directions are IEEE's: exact to float32; from it rounded to nearest, ties to even, subnormals,
infinities and NaN included. float16 has instructions on most processors; where it has none, integer arithmetic does it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from chainrule import dtypes
from chainrule.llvm import ir
from chainrule.llvm.emitter import Emitter, Val, lane_type
from chainrule.llvm.lanes import resize
from chainrule.llvm.math_base import F32, F64

_U16, _U32, _HALF = np.dtype(np.uint16), np.dtype(np.uint32), np.dtype(np.float16)


def _typed(lanes: int) -> ir.Type:
    return ir.HALF if lanes == 1 else ir.vector_type(ir.HALF, lanes)


def _bits(e: Emitter, x: Val) -> Val:
    return e.bitcast(x, _U32)


def _wide(e: Emitter, x: Val) -> Val:
    """The 16 bits of a half number as uint32."""
    return e.cast(Val(x.ir, _U16), _U32)


def float32_of_float16(e: Emitter, x: Val) -> Val:
    """float16 → float32.

    Without instructions for it: 2¹¹² scales the shifted bits to the other exponent bias; exactly, subnormals too. With
    them, LLVM 22 would draw the lanes' movements through the conversion of 256 bits, and lose lanes; the fence, which
    is no instruction, keeps it from that.
    """
    if e.native_half:
        half = e.b.bitcast(x.ir, _typed(x.lanes))
        wide = Val(e.b.fpext(half, lane_type(F32, x.lanes)), F32)
        return wide if x.lanes == 1 else e.intrinsic("arithmetic.fence", wide)
    bits = _wide(e, x)
    size = e.and_(bits, e.like(bits, 0x7FFF))
    shifted = e.shl(size, e.like(bits, 13))
    scaled = _bits(e, e.mul(e.bitcast(shifted, F32), e.const(2.0**112, F32, x.lanes)))
    special = e.or_(shifted, e.like(bits, 0x7F800000))  # infinities and NaN keep an exponent of ones
    value = e.select(e.ge(size, e.like(bits, 0x7C00)), special, scaled)
    return e.bitcast(e.or_(value, e.shl(e.xor(bits, size), e.like(bits, 16))), F32)


def float16_of_float32(e: Emitter, x: Val) -> Val:
    """float32 → float16.

    Without instructions for it: of normal numbers the bits are rounded as an integer; subnormals are aligned, and so
    rounded, by adding 0.5, whose last place is float16's smallest number.
    """
    if e.native_half:
        rounded = e.b.fptrunc(x.ir, _typed(x.lanes))
        return Val(e.b.bitcast(rounded, lane_type(_U16, x.lanes)), _HALF)
    bits = _bits(e, x)
    size = e.and_(bits, e.like(bits, 0x7FFFFFFF))
    sign = e.shr(e.xor(bits, size), e.like(bits, 16))
    odd = e.and_(e.shr(size, e.like(bits, 13)), e.like(bits, 1))
    rebias = e.like(bits, (((15 - 127) << 23) + 0xFFF) % 2**32)
    normal = e.shr(e.add(e.add(size, rebias), odd), e.like(bits, 13))
    half = e.const(0.5, F32, x.lanes)
    subnormal = e.sub(_bits(e, e.add(e.bitcast(size, F32), half)), _bits(e, half))
    value = e.select(e.lt(size, e.like(bits, 113 << 23)), subnormal, normal)
    nan = e.gt(size, e.like(bits, 0x7F800000))
    special = e.select(nan, e.like(bits, 0x7E00), e.like(bits, 0x7C00))
    value = e.select(e.ge(size, e.like(bits, 143 << 23)), special, value)
    return Val(e.cast(e.or_(value, sign), _U16).ir, _HALF)


def float16_of_float64(e: Emitter, x: Val) -> Val:
    """float64 → float16, rounded once: on the way through float32 the last bit becomes "something was cut off".

    Source: Boldo and Melquiond, "When double rounding is odd", IMACS 2005.
    """
    near = e.cast(x, F32)
    back = e.cast(near, F64)
    bits = _bits(e, near)
    even = e.eq(e.and_(bits, e.like(bits, 1)), e.like(bits, 0))
    below, above = e.lt(e.abs(back), e.abs(x)), e.gt(e.abs(back), e.abs(x))
    step = e.select(below, e.like(bits, 1), e.select(above, e.like(bits, 2**32 - 1), e.like(bits, 0)))
    odd = e.select(even, e.add(bits, step), bits)
    return float16_of_float32(e, e.bitcast(odd, F32))


def float32_of_bfloat16(e: Emitter, x: Val) -> Val:
    """bfloat16 → float32: the upper half of its bits."""
    bits = _wide(e, x)
    return e.bitcast(e.shl(bits, e.like(bits, 16)), F32)


def bfloat16_of_float32(e: Emitter, x: Val, dtype: np.dtype) -> Val:
    """float32 → bfloat16: the upper half of the bits, rounded as an integer; a NaN stays one."""
    bits = _bits(e, x)
    odd = e.and_(e.shr(bits, e.like(bits, 16)), e.like(bits, 1))
    rounded = e.add(bits, e.add(odd, e.like(bits, 0x7FFF)))
    value = e.select(e.isnan(x), e.or_(bits, e.like(bits, 0x400000)), rounded)
    return Val(e.cast(e.shr(value, e.like(bits, 16)), _U16).ir, dtype)


def widen(e: Emitter, x: Val) -> Val:
    """A half number as float32."""
    return float32_of_float16(e, x) if x.dtype == _HALF else float32_of_bfloat16(e, x)


def narrow(e: Emitter, x: Val, dtype: np.dtype) -> Val:
    """A float as a half number (float64 to bfloat16 by way of float32, as ``ml_dtypes`` does)."""
    if dtype != _HALF:
        return bfloat16_of_float32(e, e.cast(x, F32), dtype)
    return float16_of_float64(e, x) if x.dtype == F64 else float16_of_float32(e, x)


def load_repeated(e: Emitter, pointer: ir.Value, dtype: np.dtype, beside: int, lanes: int) -> Val:
    """The number at ``pointer`` as float32 in every lane.

    ``beside`` is 1 if the next number may be read as well, -1 if the one before may, else 0: a bfloat16 is loaded with
    its neighbour, as one word that is repeated on the way, and one shift or mask is left of the conversion.
    """
    if dtypes.is_half(dtype) and dtype != _HALF and beside and lanes > 1:
        pair = e.load(e.at(pointer, min(beside, 0), dtype), dtype, 2)
        word = Val(e.b.bitcast(pair.ir, lane_type(F32, 1)), F32)
        words = _bits(e, e.intrinsic("arithmetic.fence", e.splat(word, lanes)))  # LLVM would convert, then repeat
        shifted = e.shl(words, e.like(words, 16)) if beside > 0 else e.and_(words, e.like(words, 0xFFFF0000))
        return e.bitcast(shifted, F32)
    return e.cast(e.splat(e.load(pointer, dtype), lanes), F32)


def load_every_other(e: Emitter, pointer: ir.Value, dtype: np.dtype, odd: bool, lanes: int) -> Val:
    """Of 2 · ``lanes`` bfloat16 the even ones, or the odd ones, as float32: a load and a shift, or a mask."""
    run = e.load(pointer, dtype, 2 * lanes)
    words = Val(e.b.bitcast(run.ir, lane_type(_U32, lanes)), _U32)
    return e.bitcast(e.and_(words, e.like(words, 0xFFFF0000)) if odd else e.shl(words, e.like(words, 16)), F32)


def pair(e: Emitter, first: Val, second: Val) -> Val:
    """Words of two bfloat16 that are given as float32: the first in the lower half."""
    low = e.shr(_bits(e, first), e.like(_bits(e, first), 16))
    return e.bitcast(e.or_(low, _bits(e, second)), F32)


def add_products_of_pairs(e: Emitter, x: Val, y: Val, total: Val) -> Val:
    """``total`` + the products of both pairs of bfloat16 in each word of ``x`` and ``y``.

    AVX-512-BF16's instruction: two multiply-adds, each rounded once; subnormals count as zero. Source:
    Intel 64 and IA-32 Architectures Software Developer's Manual, VDPBF16PS.
    """
    lanes = max(4, x.lanes)
    sums, words = lane_type(F32, lanes), ir.vector_type(ir.BFLOAT, 2 * lanes)
    function = e.b.module.declared(f"llvm.x86.avx512bf16.dpbf16ps.{32 * lanes}", sums, [sums, words, words])
    pairs = [e.b.bitcast(resize(e, v, lanes).ir, words) for v in (x, y)]
    return resize(e, Val(e.b.call(function, [resize(e, total, lanes).ir, *pairs]), F32), x.lanes)


# By the names under which the emitter calls them.
HALF: dict[str, Callable[..., Val]] = {
    "narrow": narrow, "widen": widen, "add_products_of_pairs": add_products_of_pairs}
