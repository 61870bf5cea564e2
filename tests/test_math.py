"""The vector mathematics: errors in units in the last place, special values as NumPy's, any number of lanes."""

from __future__ import annotations

import ctypes
import itertools
import math
from collections.abc import Callable

import mpmath
import numpy as np
import pytest

from chainrule.llvm import ir, jit
from chainrule.llvm.builder import Builder
from chainrule.llvm.emitter import I64, INT64, PTR, Emitter, Val
from chainrule.llvm.math import MATH

F32, F64 = np.dtype("f4"), np.dtype("f8")
FLOATS = pytest.mark.parametrize("dtype", [F32, F64], ids=str)
BINARY = {"atan2", "hypot", "pow"}
UNARY = sorted(set(MATH) - BINARY)
LIKE_X_NEAR_ZERO = ["asin", "asinh", "atan", "atanh", "expm1", "log1p", "sin", "sinh", "tan", "tanh"]
LIMIT_ULP = 2.0

# What each function means, in NumPy and in mpmath.
NUMPY = {
    "acos": np.arccos, "acosh": np.arccosh, "asin": np.arcsin, "asinh": np.arcsinh, "atan": np.arctan,
    "atan2": np.arctan2, "atanh": np.arctanh, "cbrt": np.cbrt, "cos": np.cos, "cosh": np.cosh,
    "erf": np.vectorize(math.erf, ["d"]), "erfc": np.vectorize(math.erfc, ["d"]), "exp": np.exp, "exp2": np.exp2,
    "expm1": np.expm1, "hypot": np.hypot, "log": np.log, "log10": np.log10, "log1p": np.log1p, "log2": np.log2,
    "pow": np.power, "sin": np.sin, "sinh": np.sinh, "softplus": lambda x: np.logaddexp(0, x), "tan": np.tan,
    "tanh": np.tanh, "sigmoid": lambda x: np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x))),
}
MPMATH = {
    **{name: getattr(mpmath, name) for name in MATH if hasattr(mpmath, name)},
    "erfc": lambda x: mpmath.erfc(min(x, 100)),  # mpmath cannot do very large ones
    "exp2": lambda x: mpmath.mpf(2) ** x,
    "log2": lambda x: mpmath.log(x, 2),
    "pow": lambda x, y: x**y,
    "cbrt": lambda x: mpmath.sign(x) * mpmath.cbrt(abs(x)),
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
}
# Where results are sampled densely: the domain, and for the trigonometric functions what they reduce themselves.
DOMAIN = {
    "acos": (-1, 1), "asin": (-1, 1), "atanh": (-1, 1), "acosh": (1, math.inf), "log1p": (-1, math.inf),
    **dict.fromkeys(("log", "log2", "log10"), (0, math.inf)),
}
TRIGONOMETRIC = {F32: (-1e5, 1e5), F64: (-(2.0**20), 2.0**20)}
# Places where one way to compute ends and another begins, or the reduction takes another integer.
BORDERS = {
    "acos": [0.5], "acosh": [1.0, 1.75], "asin": [0.5], "asinh": [0.5], "atan": [1.0], "atanh": [0.5],
    "erf": [1.0], "erfc": [0.5], "sinh": [1.0], "sigmoid": [0.0], "softplus": [0.0], "cbrt": [1.0, 2.0, 4.0],
    **dict.fromkeys(("log", "log2", "log10"), [1.0, math.sqrt(0.5), math.sqrt(2)]),
    "log1p": [0.0, math.sqrt(0.5) - 1, math.sqrt(2) - 1],
    **dict.fromkeys(("exp", "expm1", "sinh", "cosh", "sigmoid", "softplus"), [n * math.log(2) / 2 for n in range(9)]),
    "tanh": [n * math.log(2) for n in range(9)],
    **dict.fromkeys(("sin", "cos", "tan"), [n * math.pi / 4 for n in (*range(9), 1000, 1001, 1002, 1003, 9999)]),
}


def functions(cases: list[tuple[str, np.dtype, int]]) -> dict[tuple[str, np.dtype, int], Callable[..., np.ndarray]]:
    """Native functions on arrays, all of one module: a loop of so many lanes, then one lane at a time."""
    module, target = ir.Module(), jit.host()
    for name, dtype, lanes in cases:
        emit_function(module, f"{name}_{dtype}_{lanes}", name, dtype, lanes)
    symbols = ["{}_{}_{}".format(*case) for case in cases]
    loaded = jit.Loaded((jit.compile_module(module, target),), target, symbols)
    return {case: callable_of(loaded, "{}_{}_{}".format(*case), case) for case in cases}


def emit_function(module: ir.Module, symbol: str, name: str, dtype: np.dtype, lanes: int) -> None:
    arity = 2 if name in BINARY else 1
    kind = ir.FunctionType(ir.VOID, [I64] + [PTR] * (arity + 1))
    function = ir.Function(module, kind, symbol)
    size, *inputs, out = function.args
    e = Emitter(Builder(function.append_basic_block()), MATH)
    end = Val(size, INT64)
    whole = e.sub(end, e.remainder(end, e.index(lanes)))
    for start, stop, width in ((e.index(0), whole, lanes), (whole, end, 1)):
        with e.loop(start, stop, width) as loop:
            args = [e.load(e.at(p, loop.index, dtype), dtype, width) for p in inputs]
            e.store(e.math(name, *args), e.at(out, loop.index, dtype))
    e.b.ret_void()


def callable_of(loaded: jit.Loaded, symbol: str, case: tuple[str, np.dtype, int]) -> Callable[..., np.ndarray]:
    name, dtype, _ = case
    native = ctypes.CFUNCTYPE(None, ctypes.c_int64, *[ctypes.c_void_p] * (3 if name in BINARY else 2))
    call = native(loaded.address(symbol))

    def run(*args: np.ndarray) -> np.ndarray:
        arrays = [np.ascontiguousarray(a, dtype) for a in args]
        out = np.full_like(arrays[0], 77)
        call(out.size, *(a.ctypes.data for a in arrays), out.ctypes.data)
        return out

    run.keep = loaded  # type: ignore[attr-defined]
    return run


@pytest.fixture(scope="module")
def native():
    """MATH as functions on arrays, by name and dtype, with a vector register's lanes."""
    cases = [(name, dtype, jit.host().vector_bytes // dtype.itemsize) for name in MATH for dtype in (F32, F64)]
    return {case[:2]: call for case, call in functions(cases).items()}


# -- samples


def domain(name: str, dtype: np.dtype) -> tuple[float, float]:
    if name in ("sin", "cos", "tan"):
        return TRIGONOMETRIC[dtype]
    return DOMAIN.get(name, (-math.inf, math.inf))


def neighbours(values: list[float], dtype: np.dtype, steps: int) -> np.ndarray:
    """The numbers next to each of the values and of their negatives."""
    whole = np.dtype(f"i{dtype.itemsize}")
    bits = np.asarray(values, dtype).view(whole)[:, None] + np.arange(-steps, steps + 1, dtype=whole)
    near = bits.ravel().view(dtype)
    return np.concatenate([near, -near])


def bit_patterns(dtype: np.dtype, count: int) -> np.ndarray:
    """All magnitudes and signs, subnormal numbers included: equal steps through the bits of the format."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    step = (1 << 8 * dtype.itemsize) // count
    return (np.arange(count, dtype=unsigned) * unsigned.type(step) + unsigned.type(step // 3)).view(dtype)


def samples(name: str, dtype: np.dtype, count: int) -> np.ndarray:
    """A quarter by bits, the rest dense where the function has its shape; finite and inside the domain."""
    low, high = domain(name, dtype)
    rng = np.random.default_rng(5)
    centre = 1.0 if "log" in name or name == "acosh" else 0.0
    dense = [rng.uniform(centre - width, centre + width, count // 4) for width in (0.5, 4, 100)]
    borders = neighbours([b for b in BORDERS.get(name, []) if b], dtype, 20)
    with np.errstate(over="ignore"):
        x = np.concatenate([bit_patterns(dtype, count // 4), borders, *(d.astype(dtype) for d in dense)])
    return x[np.isfinite(x) & (x >= low) & (x <= high)]


def pairs(name: str, dtype: np.dtype, count: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(6)
    sign = lambda: rng.choice([-1.0, 1.0], count)
    exponents = lambda bound: rng.uniform(-bound, bound, count)
    top = 80.0 if dtype == F32 else 600.0
    if name != "pow":
        parts = [(sign() * np.exp(exponents(b)), sign() * np.exp(exponents(b))) for b in (1, 10, top)]
    else:  # bases near and far from 1, each with exponents over the whole range of results
        parts = []
        for bound in (1e-3, 0.5, 5, top):
            x = np.exp(exponents(bound)).astype(dtype).astype(float)
            x[x == 1] = 2
            parts.append((x, exponents(1.05 * top) / np.log(x)))
        parts.append((np.exp(exponents(3)), exponents(5)))
        parts.append((-np.exp(exponents(3)), np.rint(exponents(9))))
    x, y = (np.concatenate(p).astype(dtype) for p in zip(*parts, strict=True))
    return x, y


# -- errors


def errors_float32(got: np.ndarray, name: str, args: list[np.ndarray]) -> np.ndarray:
    """In units in the last place, against NumPy in float64."""
    with np.errstate(all="ignore"):
        want = NUMPY[name](*(a.astype(F64) for a in args))
        bound = 2.0**128  # infinity, as a number next to the largest one
        exact, have = np.clip(want, -bound, bound), np.clip(got.astype(F64), -bound, bound)
        unit = np.maximum(np.spacing(np.minimum(np.abs(want), np.finfo(F32).max).astype(F32)), 2.0**-149)
    return np.abs(have - exact) / unit


def errors_float64(got: np.ndarray, name: str, args: list[np.ndarray]) -> np.ndarray:
    """In units in the last place, against mpmath."""
    errors = np.empty(got.size)
    with mpmath.workprec(130):
        for i, point in enumerate(zip(got, *args, strict=True)):
            have, *values = (mpmath.mpf(float(v)) for v in point)
            exact = MPMATH[name](*values)
            nearest = float(exact)
            if math.isfinite(nearest) and mpmath.isfinite(have):
                errors[i] = float(abs(have - exact) / math.ulp(nearest))
            else:
                errors[i] = 0 if nearest == have else math.inf
    return errors


def check_errors(call: Callable[..., np.ndarray], name: str, dtype: np.dtype, args: list[np.ndarray]) -> None:
    got = call(*args)
    errors = (errors_float32 if dtype == F32 else errors_float64)(got, name, args)
    worst = int(np.argmax(np.where(np.isnan(errors), np.inf, errors)))
    assert errors[worst] <= LIMIT_ULP, f"{name}{tuple(a[worst] for a in args)} = {got[worst]}: {errors[worst]} ulp"


@pytest.mark.parametrize("name", UNARY)
def test_one_argument_float32_is_within_two_ulp(native, name):
    count = 60_000 if name in ("erf", "erfc") else 600_000
    check_errors(native[name, F32], name, F32, [samples(name, F32, count)])


@pytest.mark.parametrize("name", UNARY)
def test_one_argument_float64_is_within_two_ulp(native, name):
    check_errors(native[name, F64], name, F64, [samples(name, F64, 5000)])


@FLOATS
@pytest.mark.parametrize("name", sorted(BINARY))
def test_two_arguments_are_within_two_ulp(native, name, dtype):
    check_errors(native[name, dtype], name, dtype, list(pairs(name, dtype, 100_000 if dtype == F32 else 1000)))


# -- special values


def special(dtype: np.dtype) -> list[float]:
    info = np.finfo(dtype)
    sizes = [0, 0.5, 1, 2, 3, info.smallest_subnormal, info.tiny, info.max, math.inf, 1 + info.eps, 1 - info.epsneg]
    return [float(s) for size in sizes for s in (size, -size)] + [math.nan]


def assert_same(got: np.ndarray, want: np.ndarray, of: list[np.ndarray]) -> None:
    """Equal to the bit where NumPy's result is 0, infinite or NaN; else near, with the same sign."""
    with np.errstate(all="ignore"):
        exact = (got == want) & (np.signbit(got) == np.signbit(want)) | np.isnan(got) & np.isnan(want)
        near = np.abs(got - want) <= 3 * np.spacing(np.abs(want))  # NumPy's own result may be an ulp off
        fine = exact | near & np.isfinite(want) & (want != 0)
    wrong = [(*(float(a[i]) for a in of), float(got[i]), float(want[i])) for i in np.flatnonzero(~fine)]
    assert not wrong, f"arguments, result, NumPy's: {wrong[:5]}"


@FLOATS
@pytest.mark.parametrize("name", UNARY)
def test_special_values_are_numpys(native, name, dtype):
    x = np.array(special(dtype), dtype)
    if name in ("sin", "cos", "tan"):
        x = x[~(np.abs(x) == np.finfo(dtype).max)]
    with np.errstate(all="ignore"):
        want = NUMPY[name](x.astype(F64)).astype(dtype)
    assert_same(native[name, dtype](x), want, [x])


@FLOATS
@pytest.mark.parametrize("name", sorted(BINARY))
def test_special_pairs_are_numpys(native, name, dtype):
    odd = 2.0 ** (np.finfo(dtype).nmant + 1) - 1  # the largest odd number, then whole numbers that are even
    values = [*special(dtype), 1.5, -1.5, 4, -4, odd, -odd, odd + 1, odd + 3, 1e30, -1e30, odd / 2, -odd / 2]
    x, y = (np.array(p, dtype) for p in zip(*itertools.product(values, values), strict=True))
    with np.errstate(all="ignore"):
        want = NUMPY[name](x, y)
    assert_same(native[name, dtype](x, y), want, [x, y])


@FLOATS
@pytest.mark.parametrize("name", ["sin", "cos", "tanh", "erf", "sigmoid"])
def test_results_do_not_exceed_one(native, name, dtype):
    x = np.concatenate([bit_patterns(dtype, 100_000), np.linspace(-20, 20, 100_000).astype(dtype)])
    assert np.abs(native[name, dtype](x[np.isfinite(x)])).max() <= 1


@FLOATS
@pytest.mark.parametrize("name", LIKE_X_NEAR_ZERO)
def test_tiny_arguments_come_back(native, name, dtype):
    x = np.concatenate([np.arange(1, 200) * np.finfo(dtype).smallest_subnormal, np.finfo(dtype).tiny * np.arange(1, 9)])
    x = np.concatenate([x, -x]).astype(dtype)
    np.testing.assert_array_equal(native[name, dtype](x), x)


# -- lanes


def test_results_do_not_depend_on_the_number_of_lanes():
    lanes = (1, 3, 4, 8, 16)
    calls = functions([(name, dtype, n) for name in MATH for dtype in (F32, F64) for n in lanes])
    for name, dtype in itertools.product(MATH, (F32, F64)):
        parts = [np.linspace(-3, 3, 240), special(dtype)]
        x = np.concatenate([bit_patterns(dtype, 500), *(np.array(p, dtype) for p in parts)])
        args = [x, np.roll(x, 7)] if name in BINARY else [x]
        one = calls[name, dtype, 1](*args)
        for n in lanes[1:]:
            np.testing.assert_array_equal(calls[name, dtype, n](*args), one, err_msg=f"{name} {dtype} {n} lanes")


@FLOATS
@pytest.mark.parametrize("name", ["sin", "cos", "tan"])
def test_arguments_too_large_to_reduce_go_to_the_library(native, name, dtype):
    largest = math.log10(np.finfo(dtype).max)
    rng = np.random.default_rng(5)
    x = (10.0 ** rng.uniform(3, largest, 301) * rng.choice([-1, 1], 301)).astype(dtype)
    x[7] = 0.5  # beside large ones in one register
    with mpmath.workdps(30):
        exact = np.array([float(MPMATH[name](mpmath.mpf(float(v)))) for v in x])
    assert np.abs((native[name, dtype](x).astype(float) - exact) / np.spacing(exact.astype(dtype))).max() <= LIMIT_ULP
    special = np.array([np.inf, -np.inf, np.nan, -0.0], dtype)
    np.testing.assert_array_equal(native[name, dtype](special)[:3], [np.nan] * 3)
