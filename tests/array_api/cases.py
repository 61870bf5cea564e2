"""What every function of the standard is called with: dtypes that it takes, shapes, options, special values."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import array_api_strict
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from namespaces import Call

BOOL, INTS = ("bool",), ("int8", "int16", "int32", "int64")
UNSIGNED, REALS, COMPLEX = ("uint8", "uint16", "uint32", "uint64"), ("float32", "float64"), ("complex64", "complex128")
REAL_NUMBERS = INTS + UNSIGNED + REALS
NUMBERS = REAL_NUMBERS + COMPLEX
ALL = BOOL + NUMBERS
SHAPES = ((), (0,), (1,), (3,), (2, 3), (3, 1, 2))
PAIRS = (((), ()), ((3,), (3,)), ((2, 3), (3,)), ((3,), ()), ((2, 1), (1, 3)), ((0,), (1,)))
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -3.0, float("inf"), float("-inf"), float("nan"))


class Source:
    """Draws arrays and choices."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw = data.draw

    def choice(self, options: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(options))

    def array(self, dtype: str, shape: Sequence[int], low: float | None = None,
              high: float | None = None) -> np.ndarray:
        """Any elements, special ones among them; with ``low`` and ``high`` finite ones in between."""
        return self.draw(arrays(np.dtype(dtype), tuple(shape), elements=_elements(dtype, low, high)))

    def any_shape(self, dtype: str, shapes: Sequence[Any] = SHAPES) -> np.ndarray:
        return self.array(dtype, self.choice(shapes))

    def matrix(self, dtype: str, *shape: int) -> np.ndarray:
        """Well conditioned matrices."""
        x = self.array(dtype, shape, -1, 1)
        return (x / 8 + 2 * np.eye(*shape[-2:])).astype(dtype)


@functools.cache
def _elements(dtype: str, low: float | None, high: float | None) -> st.SearchStrategy[Any]:
    kind, width = np.dtype(dtype).kind, np.dtype(dtype).itemsize * 8
    if kind == "b":
        return st.booleans()
    if kind in "iu":
        info = np.iinfo(dtype)
        bottom, top = (info.min, info.max) if low is None or high is None else (max(int(low), info.min), int(high))
        near = st.integers(max(bottom, -5), min(top, 9))
        return near if low is not None else st.one_of(near, st.sampled_from((bottom, top)))
    if kind == "f":
        if low is not None:
            return st.floats(low, high, width=width, allow_subnormal=False)
        return st.one_of(st.sampled_from(SPECIAL), st.floats(-20, 20, width=width, allow_subnormal=False))
    part = _elements(f"float{width // 2}", low, high)
    return st.builds(complex, part, part)


@functools.cache
def taken(name: str, arity: int) -> tuple[str, ...]:
    """The dtypes that the referee takes."""
    function = functools.reduce(getattr, name.split("."), array_api_strict)
    out = []
    for dtype in ALL:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                function(*[array_api_strict.ones((3,), dtype=getattr(array_api_strict, dtype))] * arity)
            out.append(dtype)
        except TypeError:
            continue
    return tuple(out)


Maker = Callable[[Source], Iterator[Call]]
MAKERS: dict[str, Maker] = {}


def makes(*names: str) -> Callable[[Callable[[Source, str], Iterator[Call]]], None]:
    """The decorated function makes the calls of these functions."""
    def register(maker: Callable[[Source, str], Iterator[Call]]) -> None:
        for name in names:
            MAKERS[name] = functools.partial(_made, maker, name)
    return register


def _made(maker: Callable[[Source, str], Iterator[Call]], name: str, source: Source) -> Iterator[Call]:
    return maker(source, name)


def names(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# ---------------------------------------------------------------- elementwise

UNARY = names("abs acos acosh asin asinh atan atanh bitwise_invert ceil conj cos cosh exp expm1 floor imag isfinite "
              "isinf isnan log log1p log2 log10 logical_not negative positive real reciprocal round sign signbit sin "
              "sinh square sqrt tan tanh trunc")
BINARY = names("add atan2 bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor copysign divide "
               "equal floor_divide greater greater_equal hypot less less_equal logaddexp logical_and logical_or "
               "logical_xor maximum minimum multiply nextafter not_equal pow remainder subtract")


@makes(*UNARY)
def _unary(s: Source, name: str) -> Iterator[Call]:
    for dtype in taken(name, 1):
        yield Call(name, s.any_shape(dtype))


@makes(*BINARY)
def _binary(s: Source, name: str) -> Iterator[Call]:
    for dtype in taken(name, 2):
        first, second = s.choice(PAIRS)
        kind = np.dtype(dtype).kind
        other = dtype
        if kind in "iuf" and s.choice((True, False)):  # promotion within a kind
            other = s.choice([d for d in taken(name, 2) if np.dtype(d).kind == kind])
        x = s.array(dtype, first)
        y = s.array(other, second)
        if kind in "iu" and name in ("bitwise_left_shift", "bitwise_right_shift", "pow"):
            y = s.array(other, second, 0, 7)
        if kind in "iu" and name in ("floor_divide", "remainder"):
            y = np.where(y == 0, y.dtype.type(1), y)
        yield Call(name, x, y)
        if kind in "bfc":
            yield Call(name, x, s.choice((True, False)) if kind == "b" else 2.0)
            yield Call(name, False if kind == "b" else 0.5, x)
        else:
            yield Call(name, x, 3)


@makes("clip")
def _clip(s: Source, name: str) -> Iterator[Call]:
    for dtype in REAL_NUMBERS:
        first, second = s.choice([p for p in PAIRS if p[1] != (1, 3) and p[0] != (0,)])
        low, high = sorted((1, 3))
        yield Call(name, s.array(dtype, first), low, high)
        yield Call(name, s.array(dtype, first), min=s.array(dtype, second, 0, 2), max=s.choice((None, 5)))


# ---------------------------------------------------------------- making arrays, dtypes


@makes("arange")
def _arange(s: Source, name: str) -> Iterator[Call]:
    for args in ((5,), (2, 7), (2.0, 7, 0.5), (7, 2, -2)):
        yield Call(name, *args)
        yield Call(name, *args, dtype=np.dtype(s.choice(REALS)), device=None)


@makes("asarray")
def _asarray(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.any_shape(dtype), copy=s.choice((None, True)))
    for value in (1, 2.5, True, [1, 2], [[1.0], [2.0]], 1j):
        yield Call(name, value)
        yield Call(name, value, dtype=np.dtype("complex64"))


@makes("empty", "ones", "zeros")
def _shaped(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.choice(SHAPES), dtype=np.dtype(dtype))
    yield Call(name, 3, device=None)


@makes("empty_like", "ones_like", "zeros_like")
def _like(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.any_shape(dtype), dtype=s.choice((None, np.dtype("float32"))), device=None)


@makes("full")
def _full(s: Source, name: str) -> Iterator[Call]:
    for value in (True, 3, 2.5, 1j):
        yield Call(name, s.choice(SHAPES), value)
    yield Call(name, (2,), 3, dtype=np.dtype("float32"))


@makes("full_like")
def _full_like(s: Source, name: str) -> Iterator[Call]:
    for dtype in NUMBERS:
        yield Call(name, s.any_shape(dtype), 3)


@makes("eye")
def _eye(s: Source, name: str) -> Iterator[Call]:
    yield Call(name, 3)
    yield Call(name, 3, 4, k=s.choice((-1, 0, 2)), dtype=np.dtype(s.choice(ALL)))


@makes("linspace")
def _linspace(s: Source, name: str) -> Iterator[Call]:
    for num in (0, 1, 2, 5):
        yield Call(name, 1.0, 3, num, endpoint=s.choice((True, False)))
        yield Call(name, 0, 10, num, dtype=np.dtype("float32"))


@makes("meshgrid")
def _meshgrid(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        vectors = [s.array(dtype, (n,)) for n in (2, 3, 1)]
        yield Call(name, *vectors, indexing=s.choice(("xy", "ij")))


@makes("tril", "triu")
def _triangle(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.any_shape(dtype, ((3, 3), (2, 3), (2, 0), (2, 4, 3))), k=s.choice((-1, 0, 2)))


@makes("astype")
def _astype(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        for to in ALL if dtype not in COMPLEX else COMPLEX:
            yield Call(name, s.array(dtype, (2,), 0, 9), np.dtype(to), copy=s.choice((True, False)))


@makes("broadcast_arrays")
def _broadcast_arrays(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        first, second = s.choice(PAIRS)
        yield Call(name, s.array(dtype, first), s.array("float32", second))


@makes("broadcast_to")
def _broadcast_to(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.any_shape(dtype, ((), (3,), (1,), (2, 1))), (2, 3))


@makes("broadcast_shapes")
def _broadcast_shapes(s: Source, name: str) -> Iterator[Call]:
    yield Call(name, *s.choice(PAIRS))


@makes("can_cast")
def _can_cast(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, np.dtype(dtype), np.dtype(s.choice(ALL)))


@makes("isdtype")
def _isdtype(s: Source, name: str) -> Iterator[Call]:
    for kind in ("bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating",
                 "numeric", np.dtype("int8")):
        yield Call(name, np.dtype(s.choice(ALL)), kind)


@makes("result_type")
def _result_type(s: Source, name: str) -> Iterator[Call]:
    for kind in (BOOL, INTS, UNSIGNED, REALS, COMPLEX):
        yield Call(name, s.array(s.choice(kind), (2,)), np.dtype(s.choice(kind)))


# ---------------------------------------------------------------- products


def _inexact(s: Source, dtype: str, shape: Sequence[int]) -> np.ndarray:
    return s.array(dtype, shape, -4, 4) if dtype in REALS + COMPLEX else s.array(dtype, shape, 0, 9)


@makes("matmul", "linalg.matmul")
def _matmul(s: Source, name: str) -> Iterator[Call]:
    for dtype in NUMBERS:
        first, second = s.choice((((2, 3), (3, 4)), ((3,), (3, 2)), ((2, 3), (3,)), ((3,), (3,)), ((2, 0), (0, 3)),
                                  ((2, 1, 2, 3), (4, 3, 2))))
        yield Call(name, _inexact(s, dtype, first), _inexact(s, dtype, second))


@makes("tensordot", "linalg.tensordot")
def _tensordot(s: Source, name: str) -> Iterator[Call]:
    for dtype in NUMBERS:
        first, second, axes = s.choice((((2, 3, 4), (3, 4, 2), 2), ((2, 3), (4, 2), 0),
                                        ((2, 3), (3, 2), ((0, 1), (1, 0)))))
        yield Call(name, _inexact(s, dtype, first), _inexact(s, dtype, second), axes=axes)


@makes("vecdot", "linalg.vecdot")
def _vecdot(s: Source, name: str) -> Iterator[Call]:
    for dtype in NUMBERS:
        first, second, axis = s.choice((((3,), (3,), -1), ((2, 3), (3,), -1), ((3, 2), (3, 2), -2)))
        yield Call(name, _inexact(s, dtype, first), _inexact(s, dtype, second), axis=axis)


@makes("matrix_transpose", "linalg.matrix_transpose")
def _matrix_transpose(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.any_shape(dtype, ((2, 3), (0, 2), (2, 1, 3))))


# ---------------------------------------------------------------- shapes


@makes("concat")
def _concat(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        axis = s.choice((0, 1, -1, None))
        shapes = ((2, 1), (2, 3)) if axis in (1, -1) else ((1, 3), (2, 3))
        other = s.choice([d for d in ALL if np.dtype(d).kind == np.dtype(dtype).kind])
        yield Call(name, [s.array(dtype, shapes[0]), s.array(other, shapes[1])], axis=axis)


@makes("stack")
def _stack(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, [s.array(dtype, (2, 3)), s.array(dtype, (2, 3))], axis=s.choice((0, 1, 2, -1)))


@makes("expand_dims")
def _expand_dims(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.any_shape(dtype), axis=s.choice((0, -1)))


@makes("flip")
def _flip(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.array(dtype, (2, 3)), axis=s.choice((None, 0, -1, (0, 1))))


@makes("moveaxis")
def _moveaxis(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.array(dtype, (2, 1, 3)), *s.choice(((0, 2), (-1, 0), ((0, 1), (1, 2)))))


@makes("permute_dims")
def _permute_dims(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.array(dtype, (2, 1, 3)), axes=s.choice(((0, 1, 2), (2, 0, 1), (1, 2, 0))))


@makes("repeat")
def _repeat(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.array(dtype, (2, 3)), s.choice((0, 1, 3)), axis=s.choice((None, 0, -1)))


@makes("reshape")
def _reshape(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.array(dtype, (2, 3)), s.choice(((3, 2), (-1,), (1, 6), (2, 3, 1))),
                   copy=s.choice((None, True)))


@makes("roll")
def _roll(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        shift, axis = s.choice(((1, None), (-2, 0), ((1, 2), (0, 1)), (5, -1)))
        yield Call(name, s.array(dtype, (2, 3)), shift, axis=axis)


@makes("squeeze")
def _squeeze(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.array(dtype, (1, 3, 1)), s.choice((0, -1, (0, 2))))


@makes("tile")
def _tile(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.any_shape(dtype), s.choice(((2,), (1, 2), (2, 0), ())))


@makes("unstack")
def _unstack(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.array(dtype, (2, 3)), axis=s.choice((0, 1, -1)))


# ---------------------------------------------------------------- picking, searching, sets, order


@makes("take")
def _take(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        indices = s.array(s.choice(INTS), (4,), 0, 1)
        yield Call(name, s.array(dtype, (2, 3)), indices, axis=s.choice((0, 1, -1)))


@makes("take_along_axis")
def _take_along_axis(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.array(dtype, (2, 3)), s.array("int64", (2, 2), 0, 1), axis=s.choice((1, -1)))


@makes("where")
def _where(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        first, second = s.choice(PAIRS)
        yield Call(name, s.array("bool", first), s.array(dtype, second), s.array(dtype, first))
        yield Call(name, s.array("bool", first), s.array(dtype, second), True if dtype == "bool" else 3)


@makes("argmax", "argmin")
def _position(s: Source, name: str) -> Iterator[Call]:
    for dtype in REAL_NUMBERS:
        yield Call(name, s.array(dtype, (2, 3)), axis=s.choice((None, 0, -1)), keepdims=s.choice((True, False)))


@makes("count_nonzero")
def _count_nonzero(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.array(dtype, (2, 3)), axis=s.choice((None, 0, -1, (0, 1))), keepdims=s.choice((True, False)))


@makes("nonzero")
def _nonzero(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.any_shape(dtype, SHAPES[1:]))


@makes("searchsorted")
def _searchsorted(s: Source, name: str) -> Iterator[Call]:
    for dtype in REAL_NUMBERS:
        x = np.sort(s.array(dtype, (5,), 0, 9))
        yield Call(name, x, s.array(dtype, (2, 3), 0, 9), side=s.choice(("left", "right")))
        order = np.argsort(-x.astype(float))
        yield Call(name, x[order], s.array(dtype, (3,), 0, 9), sorter=np.argsort(x[order]))


@makes("isin")
def _isin(s: Source, name: str) -> Iterator[Call]:
    for dtype in INTS + UNSIGNED:
        yield Call(name, s.array(dtype, (2, 3), 0, 9), s.array(dtype, (4,), 0, 9), invert=s.choice((True, False)))


@makes("unique_all", "unique_counts", "unique_inverse", "unique_values")
def _unique(s: Source, name: str) -> Iterator[Call]:
    for dtype in BOOL + INTS + UNSIGNED:
        yield Call(name, s.array(dtype, (2, 3)))


@makes("sort", "argsort")
def _sort(s: Source, name: str) -> Iterator[Call]:
    for dtype in REAL_NUMBERS:
        x = s.array(dtype, (2, 4), 0, 9)
        yield Call(name, x, axis=s.choice((0, -1)), descending=s.choice((True, False)), stable=True)


# ---------------------------------------------------------------- reductions

REDUCED = dict(axis=(None, 0, -1, (0, 1)), keepdims=(True, False))


def _options(s: Source) -> dict[str, Any]:
    return {k: s.choice(v) for k, v in REDUCED.items()}


@makes("all", "any")
def _truth(s: Source, name: str) -> Iterator[Call]:
    for dtype in ALL:
        yield Call(name, s.any_shape(dtype, ((2, 3), (0, 2), (2, 0))), **_options(s))


@makes("max", "min")
def _extreme(s: Source, name: str) -> Iterator[Call]:
    for dtype in REAL_NUMBERS:
        yield Call(name, s.array(dtype, (2, 3)), **_options(s))


@makes("sum", "prod")
def _sum(s: Source, name: str) -> Iterator[Call]:
    for dtype in NUMBERS:
        x = _inexact(s, dtype, s.choice(((2, 3), (0, 2))))
        yield Call(name, x, **_options(s))
        yield Call(name, x, dtype=np.dtype("complex128" if dtype in COMPLEX else "float64"))


@makes("mean")
def _mean(s: Source, name: str) -> Iterator[Call]:
    for dtype in REALS + COMPLEX:
        yield Call(name, _inexact(s, dtype, (2, 3)), **_options(s))


@makes("std", "var")
def _spread(s: Source, name: str) -> Iterator[Call]:
    for dtype in REALS:
        yield Call(name, _inexact(s, dtype, (2, 3)), correction=s.choice((0.0, 1.0, 0)), **_options(s))


@makes("cumulative_sum", "cumulative_prod")
def _cumulative(s: Source, name: str) -> Iterator[Call]:
    for dtype in NUMBERS:
        yield Call(name, _inexact(s, dtype, (3,)), include_initial=s.choice((True, False)))
        yield Call(name, _inexact(s, dtype, (2, 3)), axis=s.choice((0, 1, -1)), include_initial=s.choice((True, False)))


@makes("diff")
def _diff(s: Source, name: str) -> Iterator[Call]:
    for dtype in NUMBERS:
        x = _inexact(s, dtype, (2, 4))
        yield Call(name, x, axis=s.choice((0, -1)), n=s.choice((0, 1, 2)))
        yield Call(name, x, prepend=_inexact(s, dtype, (2, 1)), append=_inexact(s, dtype, (2, 2)))


# ---------------------------------------------------------------- linear algebra

INEXACT = REALS + COMPLEX


@makes("linalg.det", "linalg.inv", "linalg.slogdet", "linalg.matrix_rank", "linalg.svdvals")
def _square(s: Source, name: str) -> Iterator[Call]:
    for dtype in INEXACT:
        yield Call(name, s.matrix(dtype, *s.choice(((3, 3), (1, 1), (2, 2, 2)))))


@makes("linalg.cholesky", "linalg.eigvalsh")
def _positive(s: Source, name: str) -> Iterator[Call]:
    for dtype in INEXACT:
        a = s.matrix(dtype, *s.choice(((3, 3), (2, 2, 2))))
        yield Call(name, (a @ np.conj(np.swapaxes(a, -1, -2)) + np.eye(a.shape[-1])).astype(dtype))


@makes("linalg.solve")
def _solve(s: Source, name: str) -> Iterator[Call]:
    for dtype in INEXACT:
        a, b = s.choice((((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (3, 2))))
        yield Call(name, s.matrix(dtype, *a), _inexact(s, dtype, b))


@makes("linalg.pinv")
def _pinv(s: Source, name: str) -> Iterator[Call]:
    for dtype in INEXACT:
        yield Call(name, s.matrix(dtype, *s.choice(((3, 2), (2, 3), (2, 3, 3)))))


@makes("linalg.matrix_power")
def _matrix_power(s: Source, name: str) -> Iterator[Call]:
    for dtype in INEXACT:
        yield Call(name, s.matrix(dtype, 3, 3), s.choice((-2, -1, 0, 1, 2, 3, 5)))


@makes("linalg.matrix_norm")
def _matrix_norm(s: Source, name: str) -> Iterator[Call]:
    for dtype in INEXACT:
        x = s.matrix(dtype, *s.choice(((3, 2), (2, 2, 3))))
        yield Call(name, x, keepdims=s.choice((True, False)),
                   ord=s.choice((1, -1, 2, -2, np.inf, -np.inf, "fro", "nuc")))


@makes("linalg.vector_norm")
def _vector_norm(s: Source, name: str) -> Iterator[Call]:
    for dtype in INEXACT:
        x = _inexact(s, dtype, (2, 3)) + np.ones((), dtype) * 9
        yield Call(name, x, ord=s.choice((2, 1, 0, 3, -1, np.inf, -np.inf)), **_options(s))


@makes("linalg.cross")
def _cross(s: Source, name: str) -> Iterator[Call]:
    for dtype in NUMBERS:
        yield Call(name, _inexact(s, dtype, (2, 3)), _inexact(s, dtype, (2, 3)), axis=-1)


@makes("linalg.diagonal", "linalg.trace")
def _diagonal(s: Source, name: str) -> Iterator[Call]:
    for dtype in NUMBERS:
        yield Call(name, _inexact(s, dtype, s.choice(((3, 3), (2, 3, 4)))), offset=s.choice((-1, 0, 1)))


@makes("linalg.outer")
def _outer(s: Source, name: str) -> Iterator[Call]:
    for dtype in NUMBERS:
        yield Call(name, _inexact(s, dtype, (2,)), _inexact(s, dtype, (3,)))


# ---------------------------------------------------------------- Fourier transforms


@makes(*(f"fft.{n}" for n in names("fft ifft rfft irfft hfft ihfft")))
def _fft(s: Source, name: str) -> Iterator[Call]:
    for dtype in REALS if name in ("fft.rfft", "fft.ihfft") else COMPLEX:
        x = _inexact(s, dtype, (2, 5))
        yield Call(name, x, n=s.choice((None, 3, 8)), axis=s.choice((1, -1)),
                   norm=s.choice(("backward", "ortho", "forward")))


@makes(*(f"fft.{n}" for n in names("fftn ifftn rfftn irfftn")))
def _fftn(s: Source, name: str) -> Iterator[Call]:
    for dtype in REALS if name == "fft.rfftn" else COMPLEX:
        options = s.choice(({}, {"axes": (0, 2)}, {"s": (2, 6), "axes": (1, 2)}))
        yield Call(name, _inexact(s, dtype, (2, 3, 4)), norm=s.choice(("backward", "ortho", "forward")), **options)


@makes("fft.fftfreq", "fft.rfftfreq")
def _frequencies(s: Source, name: str) -> Iterator[Call]:
    yield Call(name, s.choice((1, 4, 7)), d=s.choice((1.0, 0.5)))
    yield Call(name, 5, dtype=np.dtype("float32"), device=None)


@makes("fft.fftshift", "fft.ifftshift")
def _shift(s: Source, name: str) -> Iterator[Call]:
    for dtype in INEXACT:
        yield Call(name, _inexact(s, dtype, (3, 4)), axes=s.choice((None, 0, (0, 1))))
