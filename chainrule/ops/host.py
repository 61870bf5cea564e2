"""Operations without native code: their only meaning is the NumPy reference, and graphs that hold one run by it.

``host`` applies any NumPy function whose result's shape follows from the shapes of its arguments. ``fft`` is the
discrete Fourier transform, linear and so differentiable. ``reason`` says why a graph has no native form.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import dtypes, tree
from chainrule.errors import ChainruleTypeError
from chainrule.graph import Graph
from chainrule.ops.declare import Op, Traced, bind
from chainrule.ops.scan import project


class Call:
    """A call of ``function`` with holes where its arrays go: the one parameter of a ``host`` node."""

    __slots__ = ("function", "name", "structure", "leaves", "holes", "container")

    def __init__(self, function: Callable[..., Any], name: str, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        self.function, self.name = function, name
        self.leaves, self.structure = tree.flatten((args, options))
        self.holes = tuple(i for i, leaf in enumerate(self.leaves) if isinstance(leaf, Traced))

    def __call__(self, *arrays: Any) -> Any:
        """The function's results, flat: an array, or a tuple of arrays."""
        leaves = list(self.leaves)
        for i, array in zip(self.holes, arrays, strict=True):
            leaves[i] = array
        args, options = tree.unflatten(self.structure, leaves)
        with np.errstate(all="ignore"):
            result = self.function(*args, **options)
        flat, self.container = tree.flatten(result)
        return tuple(np.asarray(r) for r in flat) if isinstance(result, tuple | list) else np.asarray(result)

    def __repr__(self) -> str:
        return self.name


def _infer(*inputs: Any, call: Call) -> tuple[Any, Any]:
    """Shapes and dtypes, found by a call on arrays of the given shapes: identity matrices, which nothing refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = call(*(_stand_in(shape, dtype) for shape, dtype in inputs))
    if isinstance(result, tuple):
        return tuple(r.shape for r in result), tuple(r.dtype for r in result)
    return result.shape, result.dtype


def _stand_in(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    if len(shape) < 2 or dtype.kind in "iu":
        return np.zeros(shape, dtype) if dtype.kind in "iub" else np.ones(shape, dtype)
    return np.array(np.broadcast_to(np.eye(*shape[-2:], dtype=dtype), shape))


def _jvp(t: Any, x: Any, out: Any, call: Call) -> Any:
    results = out.dtype if isinstance(out.dtype, tuple) else (out.dtype,)
    if any(dtypes.is_inexact(d) for d in results):
        raise ChainruleTypeError.of(f"the derivative of {call.name} is not known: NumPy computes it as a whole",
                                    "functions with a derivative rule", "cr.stop_gradient(x)   # as a constant")


host: Op = Op(
    "host", "A NumPy function without native code; NumPy computes it, and the whole graph with it.", "host",
    infer=_infer, reference=lambda *arrays, call: call(*arrays), jvp=_jvp, kinds=(), arity=-1)


def on_host(function: Callable[..., Any], name: str, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Record ``function(*args, **options)`` as one node; several results are picked from it, in their container."""
    call = Call(function, name, args, options)
    traced = [call.leaves[i] for i in call.holes]
    out = bind(host, *traced, call=call)
    if not isinstance(out.dtype, tuple):
        return out
    parts = [project(out, index=i) for i in range(len(out.dtype))]
    return tree.unflatten(call.container, parts)


def _fft_infer(x: Any, axis: int, inverse: bool) -> Any:
    if x[1].kind != "c":
        raise ChainruleTypeError.of(f"fft got an array of dtype {x[1]}", "complex numbers", "np.fft.fft(x)")
    return x


def _fft_reference(x: Any, axis: int, inverse: bool) -> Any:
    if x.size == 0:
        return x.copy()
    return np.fft.ifft(x, axis=axis, norm="forward") if inverse else np.fft.fft(x, axis=axis)


fft: Op = Op(
    "fft", "The discrete Fourier transform Σ_k x[k] exp(∓2πi jk/n) along an axis, unscaled.", "host", infer=_fft_infer,
    reference=_fft_reference, kinds=("c",), jvp=lambda t, x, out, **p: fft(t[0], **p),
    transpose=lambda ct, x, **p: [fft(ct, **p)],  # the matrix is symmetric
    batch=lambda args, batched, size, axis, inverse: fft(args[0], axis=axis + 1, inverse=inverse))


def reason(graph: Graph) -> str | None:
    """Why the graph cannot become native code: the first complex value or host operation; None if it can."""
    for node in graph.nodes:
        for part in node.dtype if isinstance(node.dtype, tuple) else (node.dtype,):
            if part.kind == "c":
                return f"{part} values"
        if node.op.kind == "host":
            return str(node.params.get("call", f"np.fft.{node.op.name}"))
        for param in node.params.values():
            inner = reason(param) if isinstance(param, Graph) else None
            if inner:
                return inner
    return None
