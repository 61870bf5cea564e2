"""Sample inputs for every operation of the registry: shapes, parameters and domains, by the operation's name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.autodiff import checkpoint, custom_vjp, vjp
from chainrule.control import cond, scan, while_loop
from chainrule.numpy.common import positions
from chainrule.ops.declare import REGISTRY, Op
from chainrule.ops.linalg import parts

try:
    import ml_dtypes
except ImportError:  # an extra; tests/test_dtypes.py says so with a skipped test
    ml_dtypes = None

SIZES = (0, 1, 7, 16, 17, 33)
HALF = ("float16",) if ml_dtypes is None else ("float16", "bfloat16")
FLOATS = (*HALF, "float32", "float64")
INTS = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
COMPLEX = ("complex64", "complex128")
OF_KIND = {"f": FLOATS, "c": COMPLEX, "i": INTS, "u": UNSIGNED, "b": ("bool",)}

# Intervals from which the floating inputs of elementwise operations are drawn; the default is (-3, 3).
DOMAIN: dict[str, list[tuple[float, float]]] = {
    "div": [(-3, 3), (0.3, 3)], "sqrt": [(0.1, 9)], "log": [(0.05, 9)], "log2": [(0.05, 9)], "log10": [(0.05, 9)],
    "log1p": [(-0.9, 5)], "pow": [(0.1, 4), (-3, 3)], "tan": [(-1.4, 1.4)], "arcsin": [(-0.9, 0.9)],
    "arccos": [(-0.9, 0.9)], "arccosh": [(1.1, 9)], "arctanh": [(-0.9, 0.9)], "floor_divide": [(-30, 30), (0.7, 5)],
    "remainder": [(-30, 30), (0.7, 5)], "fmod": [(-30, 30), (0.7, 5)], "cbrt": [(0.1, 9)],
    "hypot": [(0.1, 3), (-3, 3)]}
# How far apart compiled and reference results may be, in units in the last place; exact where nothing is said.
ULPS = {name: 4.0 for name in (
    "exp exp2 expm1 log log2 log10 log1p pow sin cos tan arcsin arccos arctan arctan2 sinh cosh tanh arcsinh arccosh "
    "arctanh sigmoid softplus erf erfc cbrt hypot").split()}
# Where the result does not depend smoothly on the inputs, only first derivatives are compared.
NOT_SMOOTH = frozenset("floor_divide remainder fmod".split())
NO_DERIVATIVE = {
    "input": "a given value", "constant": "a given value", "iota": "no inputs", "all": "the result is bool",
    "any": "the result is bool", "project": "tested with what it is a result of", "scan": "tested in test_control.py",
    "while": "tested in test_control.py", "switch": "tested in test_control.py", "call": "tested in test_custom.py",
    "after": "tested in test_custom.py", "pulled": "is transposed only: tested in test_custom.py",
    "stop_gradient": "taken as constant on purpose", "poll": "a flag of another thread",
    "host": "NumPy's own: an error says so", "integer_power": "whole numbers only",
    "threefry": "whole numbers only", "log_gamma_path": "the quantile follows, not the value",
    "shuffled": "whole numbers only", "argsort": "the result is whole numbers",
    "search": "the result is whole numbers",
    "lu": "taken from the matrix by what uses the factors", "pinv_of": "that of another array (test_linalg.py)",
    "symmetric_of": "that of another array (test_linalg.py)", "lu_slogdet": "two results (test_linalg.py)",
    "qr": "two results (test_linalg.py)", "eigh": "two results (test_linalg.py)",
    "svd": "three results (test_linalg.py)"}
DTYPES = {"threefry": ("uint32",), "shuffled": ("uint32",),
          **dict.fromkeys("cholesky triangular_solve lu_solve pinv_of symmetric_of".split(), ("float32", "float64"))}


@dataclass(frozen=True)
class Sample:
    """Arguments and parameters of one application. ``differentiable`` are the arguments to differentiate by."""

    args: tuple[np.ndarray, ...]
    params: dict[str, Any] = field(default_factory=dict)
    differentiable: tuple[int, ...] = ()


def draw(rng: np.random.Generator, shape: Any, dtype: Any, low: float = -3, high: float = 3) -> np.ndarray:
    """Random elements: floats of the interval, small whole numbers, bools."""
    dtype = np.dtype(dtype)
    if dtypes.is_float(dtype):
        return rng.uniform(low, high, shape).astype(dtype)
    if dtype.kind == "c":
        return (rng.uniform(low, high, shape) + 1j * rng.uniform(low, high, shape)).astype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    return rng.integers(0 if dtype.kind == "u" else -5, 9, shape).astype(dtype)


def dtypes_of(op: Op) -> list[str]:
    """The dtypes the operation takes."""
    return list(DTYPES.get(op.name) or [d for kind in op.kinds for d in OF_KIND[kind]])


def samples(op: Op, dtype: str, sizes: tuple[int, ...] = SIZES) -> Iterator[Sample]:
    """Applications of ``op`` to arrays of ``dtype``."""
    rng = np.random.default_rng(sum(map(ord, op.name + dtype)))
    make = STRUCTURED.get(op.name)
    for n in sizes:
        if make is not None:
            yield from make(rng, n, dtype)
        else:
            intervals = DOMAIN.get(op.name, [(-3.0, 3.0)] * op.arity)
            args = tuple(draw(rng, (n,), dtype, *interval) for interval in intervals)
            if dtype in INTS + UNSIGNED and op.name.startswith("shift"):
                args = (args[0], np.abs(args[1]))
            yield Sample(args, {}, tuple(range(op.arity)))


def special(op: Op, dtype: str) -> Sample | None:
    """All combinations of the numbers at which an elementwise operation may go wrong."""
    if op.kind != "elementwise" or op.name in STRUCTURED or op.name in ("threefry", "poll"):
        return None
    if dtype in FLOATS:
        info = dtypes.finfo(np.dtype(dtype))
        values = [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 3.0, np.inf, -np.inf, np.nan, float(info.smallest_subnormal),
                  -float(info.tiny)]
        if op.name not in ULPS:
            values += [float(info.max), -float(info.max)]
    elif dtype in COMPLEX:
        values = [0.0, -0.0j, 1.0, -2.5j, 3 + 4j, complex(np.inf, -1), complex(0, np.nan), complex(-np.inf, np.nan)]
    elif dtype == "bool":
        values = [True, False]
    else:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        values = [low, high, 0, 1, 2, 7, high - 1] + ([-1, -7] if low < 0 else [])
    grid = np.meshgrid(*[np.array(values, dtype)] * op.arity, indexing="ij")
    return Sample(tuple(g.reshape(-1) for g in grid))


# ---------------------------------------------------------------- operations with parameters

Maker = Callable[[np.random.Generator, int, str], Iterator[Sample]]


def _select(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    yield Sample((draw(rng, n, "bool"), draw(rng, n, dtype), draw(rng, n, dtype)), {}, (1, 2))


def _cast(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    positive = abs(draw(rng, n, dtype)) if dtype != "bool" else draw(rng, n, dtype)
    for to in (*FLOATS, *INTS, *UNSIGNED, "bool"):
        # a negative number has no meaning as an unsigned one, and NumPy's answer is the machine's
        yield Sample((positive if to in UNSIGNED else draw(rng, n, dtype),), {"dtype": np.dtype(to)},
                     (0,) if to in ("float64", dtype) else ())


def _reduce(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    yield Sample((_reducible(rng, (n,), dtype),), {"axes": (0,)}, (0,))
    yield Sample((_reducible(rng, (3, n), dtype),), {"axes": (1,)}, (0,))
    yield Sample((_reducible(rng, (n, 5), dtype),), {"axes": (0,)}, (0,))
    yield Sample((_reducible(rng, (2, n, 3), dtype),), {"axes": (0, 2)}, (0,))


def _reducible(rng: np.random.Generator, shape: Any, dtype: str) -> np.ndarray:
    return draw(rng, shape, dtype, 0.6, 1.4) if dtype in FLOATS else draw(rng, shape, dtype)


def _extreme(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    for sample in _reduce(rng, n, dtype):
        if n or sample.params["axes"] == (0, 2):
            yield Sample(sample.args, {"axes": sample.params["axes"]} if n else {"axes": (0, 2)}, (0,))


def _contract(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    layouts = (((0, 1), (1, 2), (0, 2)), ((0, 1), (1,), (0,)), ((3, 0, 1), (3, 1, 2), (3, 0, 2)), ((1,), (1,), ()),
               ((1, 0), (1, 2), (0, 2)), ((0, 1), (2, 1), (0, 2)), ((1, 0), (2, 1), (2, 0)),
               ((3, 0, 1), (1, 2), (3, 0, 2)))
    for a, b, out in layouts if dtype in FLOATS else layouts[:2]:
        extent = {0: n, 1: 5, 2: n + 1, 3: 2}
        yield Sample((draw(rng, [extent[i] for i in a], dtype), draw(rng, [extent[i] for i in b], dtype)),
                     {"a_axes": a, "b_axes": b, "out_axes": out}, (0, 1))
    if dtype in FLOATS:
        yield Sample((draw(rng, (5, n), dtype), draw(rng, (n, 6), dtype)),
                     {"a_axes": (0, 1), "b_axes": (1, 2), "out_axes": (0, 2)}, (0, 1))


def _broadcast(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    yield Sample((draw(rng, (n,), dtype),), {"shape": (3, n), "dims": (1,)}, (0,))
    yield Sample((draw(rng, (n,), dtype),), {"shape": (n, 4), "dims": (0,)}, (0,))
    yield Sample((draw(rng, (), dtype),), {"shape": (2, n), "dims": ()}, (0,))


def _reshape(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    yield Sample((draw(rng, (n, 6), dtype),), {"shape": (2, n, 3)}, (0,))
    yield Sample((draw(rng, (n,), dtype),), {"shape": (1, n, 1)}, (0,))


def _transpose(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    yield Sample((draw(rng, (n, 5), dtype),), {"axes": (1, 0)}, (0,))
    yield Sample((draw(rng, (2, n, 3), dtype),), {"axes": (1, 2, 0)}, (0,))


def _slice(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    yield Sample((draw(rng, (n + 3,), dtype),), {"start": (2,), "stop": (n + 2,), "step": (1,)}, (0,))
    yield Sample((draw(rng, (2 * n + 1, 5), dtype),), {"start": (1, 0), "stop": (2 * n + 1, 5), "step": (2, 3)}, (0,))


def _flip(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    yield Sample((draw(rng, (n,), dtype),), {"axes": (0,)}, (0,))
    yield Sample((draw(rng, (3, n), dtype),), {"axes": (0, 1)}, (0,))


def _pad(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    yield Sample((draw(rng, (n,), dtype),), {"shape": (n + 5,), "start": (2,), "step": (1,)}, (0,))
    yield Sample((draw(rng, (n, 2), dtype),), {"shape": (2 * n + 1, 7), "start": (1, 3), "step": (2, 3)}, (0,))


_TWO_AXES = {"axes": (2, 1), "stride": (2, 1), "dilation": (1, 2)}


def _windows(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    yield Sample((draw(rng, (n + 3,), dtype),), {"axes": (0,), "window": (3,), "stride": (1,), "dilation": (1,)}, (0,))
    yield Sample((draw(rng, (2, 5, n + 4, 3), dtype),), {"window": (3, 2), **_TWO_AXES}, (0,))


def _fold(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    near = {"shape": (n + 3,), "axes": (0,), "stride": (1,), "dilation": (1,)}
    yield Sample((draw(rng, (n + 1, 3), dtype),), near, (0,))
    yield Sample((draw(rng, (2, 3, n + 2, 3, 2, 3), dtype),), {"shape": (2, 5, 2 * n + 5, 3), **_TWO_AXES}, (0,))
    apart = {"shape": (2 * n + 3,), "axes": (0,), "stride": (2,), "dilation": (1,)}
    yield Sample((draw(rng, (n + 1, 2), dtype),), apart, (0,))


def _concatenate(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    yield Sample((draw(rng, (n,), dtype), draw(rng, (3,), dtype)), {"axis": 0}, (0, 1))
    yield Sample((draw(rng, (2, n), dtype), draw(rng, (2, 1), dtype), draw(rng, (2, n), dtype)), {"axis": 1}, (0, 1, 2))


def _take(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    yield Sample((draw(rng, (5,), dtype), rng.integers(-2, 8, n)), {"axis": 0}, (0,))  # beyond the ends as well
    yield Sample((draw(rng, (3, 4, 2), dtype), rng.integers(0, 4, (2, n)).astype(np.int32)), {"axis": 1}, (0,))


def _scatter(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    yield Sample((draw(rng, (n,), dtype), rng.integers(-2, 8, n)), {"axis": 0, "extent": 5}, (0,))
    yield Sample((draw(rng, (3, n, 2), dtype), rng.integers(0, 4, n).astype(np.int32)), {"axis": 1, "extent": 4}, (0,))


def _sort(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    for shape in ((n,), (3, n), (2, n, 5)):
        x = draw(rng, shape, dtype)
        for descending in (False, True):
            yield Sample((x,), {"descending": descending}, (0,))
        if dtype in FLOATS:
            hard = rng.choice(np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1.0]), shape)
            x = np.where(rng.random(shape) < 0.3, hard, x).astype(dtype)
            yield Sample((x,), {"descending": bool(n % 2)})


def _search(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    row = np.sort(draw(rng, n, dtype))
    values = np.concatenate([row[::2], draw(rng, 9, dtype)])
    if dtype in FLOATS:
        values[-3:] = np.nan, np.inf, -0.0
    for right in (False, True):
        yield Sample((row, values), {"right": right})
        yield Sample((row, draw(rng, (2, n), dtype)), {"right": right})
        yield Sample((np.sort(draw(rng, (2, 3, n), dtype), -1), draw(rng, (2, 3, 4), dtype)), {"right": right})


def _cumsum(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    for shape, axis in (((n,), 0), ((3, n), 1), ((n, 5), 0), ((2, n, 19), 1)):
        for reverse in (False, True):
            yield Sample((draw(rng, shape, dtype),), {"axis": axis, "reverse": reverse}, (0,))


def _recurrence(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    for sample in _cumsum(rng, n, dtype):
        factors = draw(rng, sample.args[0].shape, dtype, -1.2, 1.2)
        yield Sample((factors, *sample.args), sample.params, (0, 1))


def _combined(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    for sample in _scatter(rng, n, dtype):
        for combine in ("mul", "max", "min"):
            yield Sample(sample.args, {**sample.params, "combine": combine}, (0,) if combine == "mul" else ())
    for combine in ("max", "min"):  # no cell is left infinite
        indices = np.concatenate([np.arange(4), rng.integers(0, 4, n)])
        yield Sample((draw(rng, (2, n + 4, 21), dtype), indices), {"axis": 1, "extent": 4, "combine": combine}, (0,))


def _shuffled(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    yield Sample((rng.integers(0, 2**32, n, dtype=np.uint32),))


def _threefry(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    yield Sample(tuple(rng.integers(0, 2**32, n, dtype=np.uint32) for _ in range(4)))


def definite(rng: np.random.Generator, shape: Any, dtype: str) -> np.ndarray:
    """Symmetric matrices with eigenvalues from about 1 to 4."""
    a = rng.normal(size=shape) / max(shape[-1], 1) ** 0.5
    return (a @ np.swapaxes(a, -1, -2) + np.eye(shape[-1])).astype(dtype)


def _cholesky(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    for lead in ((), (2, 3)):
        yield Sample((definite(rng, (*lead, n, n), dtype),), {}, (0,))


def _triangular(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    for k, lower in enumerate((True, False)):
        for transposed in (True, False):
            a = definite(rng, (2, n, n), dtype)
            yield Sample((a, draw(rng, (2, n, 1 + 8 * k), dtype)), {
                "lower": lower, "transposed": transposed, "unit": k == transposed}, (0, 1))


def _lu_solve(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    for columns, transposed in ((1, False), (9, False), (1, True), (3, True)):
        a = (definite(rng, (2, n, n), dtype) + rng.normal(size=(n, n)) / (2 * max(n, 1))).astype(dtype)
        a = np.ascontiguousarray(a[:, ::-1])
        packed, pivots = REGISTRY["lu"](a)
        yield Sample((a, packed, pivots, draw(rng, (2, n, columns), dtype)), {"transposed": transposed}, (0, 3))


def _derived(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    yield Sample((draw(rng, (n, n), dtype), draw(rng, (n, n), dtype)), {}, (1,))


def _fft(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    yield Sample((draw(rng, (n,), dtype),), {"axis": 0, "inverse": False})
    yield Sample((draw(rng, (3, n, 2), dtype),), {"axis": 1, "inverse": True})


def _integer_power(rng: np.random.Generator, n: int, dtype: str) -> Iterator[Sample]:
    yield Sample((draw(rng, (n,), dtype), rng.integers(0 if dtype in UNSIGNED else -2, 100, n).astype(dtype)))


STRUCTURED: dict[str, Maker] = {
    "fft": _fft, "integer_power": _integer_power,
    "cholesky": _cholesky, "triangular_solve": _triangular, "lu_solve": _lu_solve, "pinv_of": _derived,
    "symmetric_of": _derived,
    "select": _select, "cast": _cast, "sum": _reduce, "prod": _reduce, "all": _reduce, "any": _reduce, "max": _extreme,
    "min": _extreme, "contract": _contract, "broadcast": _broadcast, "reshape": _reshape, "transpose": _transpose,
    "slice": _slice, "flip": _flip, "pad": _pad, "windows": _windows, "fold": _fold, "concatenate": _concatenate,
    "take": _take, "scatter_add": _scatter,
    "shuffled": _shuffled, "threefry": _threefry, "sort": _sort, "argsort": _sort, "search": _search,
    "cumsum": _cumsum, "recurrence": _recurrence, "scatter": _combined}


def slack(op: Op, sample: Sample, dtype: str) -> float:
    """What sums of products may differ by beyond ulps: the order of additions is free."""
    if op.name in ("cholesky", "triangular_solve", "lu_solve"):
        n = sample.args[0].shape[-1]
        return 16 * max(n, 1) * float(np.finfo(dtype).eps) * float(np.max(np.abs(op.reference(
            *sample.args, **sample.params)), initial=0))
    if op.name not in ("sum", "prod", "contract", "scatter_add", "recurrence", "fold") or dtype not in FLOATS:
        return 0.0
    eps = dtypes.finfo(dtypes.widened(np.dtype(dtype))).eps
    if op.name in ("prod", "recurrence"):
        return 40 * eps * float(np.max(np.abs(op.reference(*sample.args, **sample.params)), initial=0))
    sizes = [np.abs(a) if dtypes.is_float(a.dtype) else a for a in sample.args]
    return 4 * eps * float(np.max(op.reference(*sizes, **sample.params), initial=0))


# ---------------------------------------------------------------- operations that only make sense within a function


def _iota(x: Any) -> Any:
    return x[:, None] + positions(x, (x.shape[0], 3), 0, x.dtype) + positions(x, (x.shape[0], 3), 1, x.dtype)


def _scan(x: Any) -> Any:
    return scan(lambda carry, row: (carry + row, carry * row), np.ones((), x.dtype), x)


def _while(x: Any) -> Any:
    return while_loop(lambda c: c[0] < x.shape[0], lambda c: (c[0] + 1, c[1] * c[1]), (np.int64(0), x))[1]


def _switch(x: Any) -> Any:
    return cond(REGISTRY["any"](REGISTRY["ne"](x, x), axes=(0,)), lambda x: x, lambda x: x * x, x)


def _call(x: Any) -> Any:
    return checkpoint(lambda x: x * x)(x)


def _reverse_rule(x: Any) -> Any:
    if x.dtype.kind != "f":
        return x
    twice = custom_vjp(lambda x: x + x)
    twice.defvjp(lambda x: (x + x, None), lambda kept, ct: (ct + ct,))
    return vjp(twice, x)[1](x)[0]


def _matrix(x: Any) -> Any:
    """A square matrix, far from singular, with eigenvalues and singular values apart, made of one axis of numbers."""
    x = x.astype(x.dtype if x.dtype in (np.float32, np.float64) else np.float64)
    i = np.arange(x.shape[0])
    fixed = np.sin(i[:, None] * 3 + i * i) / 3 + np.diag(i + 2.0)
    return x[:, None] / 100 + fixed.astype(x.dtype)


def _of_lu(name: str) -> Callable[[Any], Any]:
    def run(x: Any) -> Any:
        a = _matrix(x)
        factors = parts(REGISTRY["lu"](a))
        return tuple(factors if name == "lu" else parts(REGISTRY[name](a, *factors)))
    return run


def _several(name: str, **params: Any) -> Callable[[Any], Any]:
    return lambda x: tuple(parts(REGISTRY[name](_matrix(x), **params)))


# How far apart compiled and reference results of these may be, relative to the largest, in units of the precision.
SCALE = {"lu": 64, "lu_slogdet": 64, "qr": 64, "eigh": 512, "svd": 512}
WITHIN: dict[str, Callable[[Any], Any]] = {
    "lu": _of_lu("lu"), "lu_slogdet": _of_lu("lu_slogdet"), "qr": _several("qr", complete=False),
    "eigh": _several("eigh"), "svd": _several("svd", full=True),
    "input": lambda x: x, "constant": lambda x: x + np.ones(x.shape, x.dtype), "iota": _iota, "scan": _scan,
    "project": lambda x: _scan(x)[1], "poll": REGISTRY["poll"], "while": _while,
    "host": lambda x: np.frexp(x.astype(np.float64)), "switch": _switch,
    "call": _call, "after": lambda x: REGISTRY["after"](x, x), "pulled": _reverse_rule}
