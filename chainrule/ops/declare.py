"""Declaring operations: one declaration holds all there is to know about an operation.

Families of operations (``kind``) share a compiler treatment:

* ``elementwise``: out[i] = f(x[i], y[i], …); declares partial derivatives, or that it is linear.
* ``view``: out[i] = x[affine(i)]; costs nothing when its user can read through it.
* ``reduce``: combines elements along axes.
* ``contract``: out[i…] = Σ_r a[i…, r…] · b[i…, r…].
* others (``constant``, ``iota``, ``concatenate``, ``pad``, ``take``, ``scatter_add``, ``scan``, ``custom`` …)
  that the compiler knows one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chainrule import dtypes
from chainrule.errors import ChainruleTypeError, ShapeError
from chainrule.graph import Node, user_source

REGISTRY: dict[str, Op] = {}

# Looks at every value that is computed here, while one is set (:func:`chainrule.debug_nans`). It only looks on: no
# graph, no result and no compiled program depends on it. A context variable, because operators have no arguments to
# pass it in, and it holds for what one ``with`` block does.
OBSERVER: ContextVar[Any] = ContextVar("observer", default=None)


class Traced:
    """What stands for an array while a function is recorded: it wraps the node that makes the value."""

    __slots__ = ("node",)

    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def shape(self) -> tuple[int, ...]:
        return self.node.shape

    @property
    def dtype(self) -> np.dtype:
        return self.node.dtype


TRACER: list[Any] = [Traced]  # the recording class; trace.py, which stands above this file, puts its own here


@dataclass(slots=True)
class Linear:
    """Stands for a linear operand in a transpose rule: its value is unknown, its shape and dtype are not."""

    shape: tuple[int, ...]
    dtype: np.dtype


def is_linear(x: Any) -> bool:
    return isinstance(x, Linear)


@dataclass(frozen=True, eq=False)
class Op:
    """One primitive operation. Made by the functions below, found in ``REGISTRY`` by name.

    Attributes:
        infer: ``infer(*(shape, dtype) pairs, **params) -> (shape, dtype)``; raises on what does not fit.
        reference: the NumPy meaning, ``reference(*arrays, **params)``.
        jvp: ``jvp(tangents, inputs, out, **params)``: the tangent of the output (of several: a list); None is zero.
        linearize: the same where the tangents are placeholders and the result will be transposed; ``jvp`` if None.
        transpose: ``transpose(ct, inputs, **params)``: the cotangents of those inputs that are :class:`Linear`
            in ``inputs``, in the order of all inputs, None for the others.
        batch: ``batch(args, batched, size, **params)``: the result for arguments of which those flagged in ``batched``
            have a further leading axis of extent ``size``; the result has it as well. None: one at a time, in a loop.
        lower: how the compiler makes it; its meaning depends on ``kind``. Of kind ``custom``: ``lower(k, *inputs,
            *outputs, **params)`` writes a function over whole dense arrays (``llvm/kernel.py``: Kernel, Array).
    """

    name: str
    doc: str
    kind: str
    infer: Callable[..., tuple[Any, Any]]
    reference: Callable[..., Any]
    jvp: Callable[..., Any] | None = None
    transpose: Callable[..., Any] | None = None
    lower: Callable[..., Any] | None = None
    batch: Callable[..., Any] | None = None
    linearize: Callable[..., Any] | None = None
    kinds: tuple[str, ...] = ("f", "i", "u", "b")
    arity: int = 1
    onnx: str | None = None
    view: Callable[..., Any] | None = None
    combine: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.name in REGISTRY:
            raise ValueError(f"operation {self.name!r} is declared twice")
        REGISTRY[self.name] = self

    def __repr__(self) -> str:
        return f"<op {self.name}>"

    def evaluate(self, *arrays: Any, **params: Any) -> Any:
        """The reference result on concrete arrays."""
        return self.reference(*arrays, **params)

    def __call__(self, *args: Any, **params: Any) -> Any:
        return bind(self, *args, **params)


def bind(op: Op, *args: Any, **params: Any) -> Any:
    """Apply ``op``: computed at once on arrays, recorded if any argument is traced."""
    tracer = None
    for a in args:
        if isinstance(a, Traced):
            tracer = type(a)
            break
    if tracer is None:
        arrays = [np.asarray(a) for a in args]
        shape, dtype = op.infer(*((a.shape, a.dtype) for a in arrays), **params)
        out = op.evaluate(*arrays, **params)
        observer = OBSERVER.get()
        if observer is not None:
            given = [Node(CONSTANT, (), {"value": a}, a.shape, a.dtype, a) for a in arrays]
            observer.observe(Node(op, tuple(given), params, shape, dtype, out, user_source()))
        return out
    node = make(op, [a.node if isinstance(a, Traced) else constant_node(a) for a in args], params)
    return tracer(node)


def make(op: Op, inputs: Sequence[Node], params: dict[str, Any]) -> Node:
    """A node of ``op``, with its value if the values of all inputs are known."""
    shape, dtype = op.infer(*[(i.shape, i.dtype) for i in inputs], **params)
    values = [i.value for i in inputs]
    for value in values:
        if value is None:
            return Node(op, tuple(inputs), params, shape, dtype, None, user_source())
    node = Node(op, tuple(inputs), params, shape, dtype, op.reference(*values, **params), user_source())
    observer = OBSERVER.get()
    if observer is not None:
        observer.observe(node)
    return node


def constant_node(value: Any) -> Node:
    """A concrete array as a node."""
    if isinstance(value, Node):
        return value
    array = np.asarray(value)
    check_dtype(array.dtype)
    repeated = [n > 1 and s == 0 for n, s in zip(array.shape, array.strides, strict=True)]
    if any(repeated):  # a broadcast view: its memory stays small as a node of its own
        small = constant_node(array[tuple(0 if r else slice(None) for r in repeated)])
        dims = tuple(i for i, r in enumerate(repeated) if not r)
        return make(REGISTRY["broadcast"], (small,), {"shape": array.shape, "dims": dims})
    node = Node(CONSTANT, (), {"value": array}, array.shape, array.dtype, array)
    node.weak = type(value) in dtypes.PYTHON
    return node


def _repeated(number: float, dtype: np.dtype, shape: tuple[int, ...]) -> Node:
    """A number as an array of equal elements."""
    array = np.asarray(number, dtype)
    node = Node(CONSTANT, (), {"value": array}, (), dtype, array)
    return make(REGISTRY["broadcast"], (node,), {"shape": shape, "dims": ()}) if shape else node


def input_node(shape: tuple[int, ...], dtype: np.dtype, value: Any = None, **params: Any) -> Node:
    """An input of a graph."""
    return Node(INPUT, (), params, tuple(shape), np.dtype(dtype), value)


def check_dtype(dtype: np.dtype) -> None:
    if not dtypes.is_supported(dtype):
        raise ChainruleTypeError.of(
            f"arrays of dtype {dtype} cannot be computed with", f"supported are {', '.join(dtypes.NAMES)}",
            "x.astype(np.float32)")


def _leaf(name: str, doc: str) -> Op:
    return Op(name, doc, name, infer=lambda **_: ((), None), reference=lambda value=None, **_: value, arity=0)


INPUT = _leaf("input", "An argument of the graph.")
CONSTANT = _leaf("constant", "An array known when the graph is recorded.")

# ---------------------------------------------------------------- elementwise

_KINDS = {"f": "floating", "c": "complex", "i": "integer", "u": "unsigned", "b": "bool"}


def elementwise(name: str, *, doc: str, reference: Callable[..., Any], lower: Callable[..., Any],
                partials: Sequence[Callable[..., Any] | None] | None = None, linear: Callable[..., Any] | None = None,
                jvp: Callable[..., Any] | None = None, transpose: Callable[..., Any] | None = None,
                arity: int = 1, kinds: str = "fiub", integers: np.dtype | None = None, bools: np.dtype | None = None,
                result: str = "same", onnx: str | None = None,
                on_complex: Callable[..., Any] | None = None) -> Op:
    """Declare an operation on corresponding elements.

    Args:
        name: the operation's name.
        doc: one sentence for its users.
        reference: the NumPy function that defines it.
        lower: ``lower(e, *x)`` with the emitter ``e``.
        partials: ∂out/∂x_k as functions of ``(*inputs, out)``; None where the derivative is zero.
        linear: the tangent as a function of the tangents, for linear operations.
        jvp: the tangent rule itself, where neither of the two says it best.
        transpose: for operations that are linear in some inputs: see :class:`Op`.
        arity: the number of inputs.
        kinds: NumPy dtype kinds it takes; ``f`` without ``i`` makes integers convert to floats first. Complex numbers
            (``c``) are computed by the reference, whatever ``lower`` says.
        integers: the float that integers convert to; by default the smallest that NumPy would choose.
        bools: the dtype that bools convert to, if they do.
        result: ``same`` dtype as the inputs, ``bool``, or ``real`` (the dtype of their real part).
        onnx: the operator of the ONNX standard with the same meaning.
        on_complex: the reference of complex numbers, where the array API standard says more than NumPy does.
    """
    def infer(*inputs: tuple[tuple[int, ...], np.dtype], **_: Any) -> tuple[Any, Any]:
        shape, dtype = inputs[-1]
        if dtype.kind not in kinds and dtypes.kind(dtype) not in kinds:
            raise ChainruleTypeError.of(f"{name} got an array of dtype {dtype}",
                                        f"{' or '.join(_KINDS[k] for k in kinds)} numbers", "x.astype(np.float64)")
        for other, _dtype in inputs:
            if other != shape:
                raise ShapeError.of(f"{name} got arrays of shapes {other} and {shape}",
                                    "the arrays need one shape", f"{name}(x, np.broadcast_to(y, x.shape))")
        return shape, _result_dtype(dtype, result)

    rule = jvp
    if partials is not None:
        rule = _jvp_of_partials(partials)
    elif linear is not None:
        rule = _jvp_of_linear(linear)
    elif jvp is None:
        rule = _jvp_of_partials([None] * arity)
    op = _Elementwise(name, doc, "elementwise", infer, _typed(reference, result, on_complex), rule, transpose, lower,
                      kinds=tuple(kinds), arity=arity, onnx=onnx)
    op.extra["ufunc"] = reference
    op.extra["unify"] = {"floats": "f" in op.kinds and "i" not in op.kinds, "integers": integers, "bools": bools,
                         "compared": result == "bool" and arity == 2}
    return op


class _Elementwise(Op):
    def __call__(self, *args: Any, **params: Any) -> Any:
        nodes = [a.node for a in args if isinstance(a, Traced)]
        if len(nodes) == len(args):  # the common case in a hurry: nothing to convert
            shape, dtype = nodes[0].shape, nodes[0].dtype
            for node in nodes:
                if node.dtype != dtype or node.shape != shape:
                    break
            else:
                if dtype.kind in self.kinds or dtypes.kind(dtype) in self.kinds:
                    return type(args[0])(make(self, nodes, params))
        elif len(nodes) == 1 and len(args) == 2:  # the next common one: a float array and a Python number
            x, y = args
            number = y if isinstance(x, Traced) else x
            node = nodes[0]
            if (type(number) in (float, int) and not node.weak and dtypes.is_float(node.dtype)
                    and dtypes.kind(node.dtype) in self.kinds and 1 not in node.shape and 0 not in node.shape):
                repeated = _repeated(number, node.dtype, node.shape)
                return type(y if number is x else x)(
                    make(self, [repeated, node] if number is x else [node, repeated], params))
        return bind(self, *unify(*args, **self.extra["unify"]), **params)


def _result_dtype(dtype: np.dtype, result: str) -> np.dtype:
    return dtypes.BOOL if result == "bool" else dtypes.real_of(dtype) if result == "real" else dtype


def _typed(reference: Callable[..., Any], result: str, on_complex: Callable[..., Any] | None) -> Callable[..., Any]:
    def run(*arrays: Any, **params: Any) -> Any:
        function = on_complex if on_complex and arrays[-1].dtype.kind == "c" else reference
        wanted = _result_dtype(arrays[-1].dtype, result)
        if dtypes.is_half(arrays[-1].dtype):
            arrays = tuple(map(widened, arrays))
        with np.errstate(all="ignore"):
            out = np.asarray(function(*arrays, **params))
            return out if out.dtype == wanted else out.astype(wanted)
    return run


def widened(x: np.ndarray) -> np.ndarray:
    """An array as references compute with it: a half type in float32."""
    return x.astype(dtypes.FLOAT32) if dtypes.is_half(x.dtype) else x


def widening(reference: Callable[..., Any]) -> Callable[..., Any]:
    """A reference that gets half types in float32; what it gives in float32 is rounded to them, once."""
    def run(*arrays: Any, **params: Any) -> Any:
        half = next((a.dtype for a in arrays if dtypes.is_half(a.dtype)), None)
        if half is None:
            return reference(*arrays, **params)
        with np.errstate(all="ignore"):
            out = np.asarray(reference(*map(widened, arrays), **params))
            return out.astype(half) if out.dtype == dtypes.FLOAT32 else out
    return run


def _jvp_of_partials(partials: Sequence[Callable[..., Any] | None]) -> Callable[..., Any]:
    def jvp(tangents: Sequence[Any], inputs: Sequence[Any], out: Any, **params: Any) -> Any:
        total = None
        for tangent, partial in zip(tangents, partials, strict=True):
            if tangent is None or partial is None:
                continue
            term = REGISTRY["mul"](partial(*inputs, out, **params), tangent)
            total = term if total is None else REGISTRY["add"](total, term)
        return total
    return jvp


def _jvp_of_linear(linear: Callable[..., Any]) -> Callable[..., Any]:
    def jvp(tangents: Sequence[Any], inputs: Sequence[Any], out: Any, **params: Any) -> Any:
        return linear(*tangents)
    return jvp


def leading(x: Any, batched: bool, size: int) -> Any:
    """An argument of a ``batch`` rule with the batch axis in front, repeated along it if it has none."""
    if batched:
        return x
    shape = shape_of(x)
    return REGISTRY["broadcast"](x, shape=(size, *shape), dims=tuple(range(1, len(shape) + 1)))


def batch_leading(op: Op) -> Callable[..., Any]:
    """The batch rule of an operation that works on the last axes, or element by element."""
    def batch(args: Sequence[Any], batched: Sequence[bool], size: int, **params: Any) -> Any:
        return op(*(leading(x, b, size) for x, b in zip(args, batched, strict=True)), **params)
    return batch


ARRAYS = (Traced, np.ndarray, np.generic)


def shape_of(x: Any) -> tuple[int, ...]:
    return x.shape if isinstance(x, ARRAYS) else np.shape(x)


def dtype_of(x: Any) -> np.dtype:
    return x.dtype if isinstance(x, ARRAYS) else np.asarray(x).dtype


# ---------------------------------------------------------------- one dtype, one shape
#
# Python's bool, int and float are weak: beside an array they take its dtype, or 64 bits of their own kind where the
# array is of a lesser kind. A Python number that is an argument of the recorded function is a node marked ``weak``.
# What Python's operators make of weak numbers alone is weak as well; what a NumPy function makes of them is not, just
# as np.sin(2.0) is a np.float64.


def is_weak(x: Any) -> bool:
    """Whether ``x`` is a Python number, as such or being recorded."""
    return x.node.weak if isinstance(x, Traced) else type(x) in dtypes.PYTHON


def weakly(operator: Callable[..., Any], *args: Any, number: bool = True) -> Any:
    """What a Python operator makes of ``args``: weak if all of them are. With ``number`` bools count as 0 and 1."""
    if not all(map(is_weak, args)):
        return operator(*args)
    if number:
        args = tuple(convert(a, dtypes.INT64) if dtype_of(a) == dtypes.BOOL else a for a in args)
    return marked_weak(operator(*args))


def marked_weak(x: Any) -> Any:
    x.node.weak = True
    return x


def unify(*args: Any, floats: bool = False, integers: np.dtype | None = None,
          bools: np.dtype | None = None, compared: bool = False) -> tuple[Any, ...]:
    """Arguments brought to one dtype and one shape by explicit ``cast`` and ``broadcast`` nodes.

    With ``floats`` that is a floating dtype: ``integers``, or NumPy's choice, where the arguments are whole numbers;
    ``bools`` is what bools convert to.
    With ``compared``, Python integers need not fit the dtype of the array beside them.
    """
    dtype = common_dtype(args)
    if compared and dtype.kind in "iu":
        dtype, args = _comparable(dtype, args)
    if floats and not dtypes.is_inexact(dtype):
        dtype = integers or dtypes.floating(dtype)
    elif bools is not None and dtype == dtypes.BOOL:
        dtype = bools
    shape = common_shape([shape_of(a) for a in args])
    return tuple([expand(convert(a, dtype), shape) for a in args])


def common_dtype(args: Sequence[Any]) -> np.dtype:
    """The dtype that arrays and (weak) Python scalars have in common."""
    if len(args) == 1:
        dtype = dtype_of(args[0])
    else:
        weak = [_promoting(a) for a in args]
        strong = [w for w in weak if type(w) not in dtypes.PYTHON]
        if (strong and dtypes.is_float(strong[0]) and all(s == strong[0] for s in strong)
                and complex not in map(type, weak)):
            dtype = strong[0]
        else:
            dtype = np.dtype(dtypes.promote(*weak))
    check_dtype(dtype)
    return dtype


_EXAMPLE = {"b": True, "i": 1, "u": 1, "f": 1.0, "c": 1j}  # a Python number of each kind


def _promoting(x: Any) -> Any:
    """What stands for ``x`` where dtypes are promoted: its dtype, or a Python number if it is weak."""
    if isinstance(x, Traced):
        return _EXAMPLE[x.node.dtype.kind] if x.node.weak else x.node.dtype
    return x if type(x) in dtypes.PYTHON else dtype_of(x)


def _comparable(dtype: np.dtype, args: tuple[Any, ...]) -> tuple[np.dtype, tuple[Any, ...]]:
    """The dtype in which whole numbers are compared exactly, and the numbers; one out of range counts as ±infinity."""
    info = np.iinfo(dtype)
    if any(type(a) is int and not info.min <= a <= info.max for a in args):
        return dtypes.FLOAT64, tuple(
            a if type(a) is not int or info.min <= a <= info.max else np.inf if a > 0 else -np.inf for a in args)
    if dtype.itemsize < 8 and any(isinstance(a, Traced) and a.node.weak for a in args):
        return dtypes.INT64, args
    return dtype, args


def common_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """What the shapes broadcast to."""
    large = [s for s in shapes if s]
    if not large:
        return ()
    return large[0] if all(s == large[0] for s in large) else broadcast_shapes(*shapes)


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(str(s) for s in shapes)
        raise ShapeError.of(
            f"arrays of shapes {listed} do not broadcast together",
            "extents must be equal, or 1, counted from the last axis", "x[:, None] + y   # one axis more") from None


def convert(x: Any, dtype: np.dtype) -> Any:
    """``x`` with ``dtype``, as a ``cast`` node if it is traced."""
    if not isinstance(x, Traced):
        return np.asarray(x, dtype)
    return x if x.dtype == dtype else REGISTRY["cast"](x, dtype=dtype)


def expand(x: Any, shape: tuple[int, ...]) -> Any:
    """``x`` broadcast to ``shape`` by NumPy's rule, as explicit nodes."""
    have = shape_of(x)
    if have == shape:
        return x
    if not have:
        return REGISTRY["broadcast"](x, shape=tuple(shape), dims=())
    offset = len(shape) - len(have)
    kept = tuple(i for i, n in enumerate(have) if n != 1 or shape[offset + i] == 1)
    if len(kept) != len(have):
        x = REGISTRY["reshape"](x, shape=tuple(have[i] for i in kept))
    return REGISTRY["broadcast"](x, shape=tuple(shape), dims=tuple(offset + i for i in kept))
