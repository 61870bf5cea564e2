"""Symbolic batches: what layers are applied to while a model is put together, and the network that this makes."""

from __future__ import annotations

import itertools
import operator
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.errors import ArgumentError, UsageError
from chainrule.layers import config
from chainrule.layers.base import FLOAT, Layer, Shape
from chainrule.layers.parts import Symbolic, shapes_of, signature_of
from chainrule.layers.shapes import output_shapes
from chainrule.ops.declare import Traced

_NUMBERS = itertools.count()


class Symbol(Symbolic, np.lib.mixins.NDArrayOperatorsMixin):
    """A batch that is not there yet: its shape, its dtype, and what makes it.

    Layers, Python operators and NumPy functions of it give further symbols.

    Attributes:
        shape: its extents; None for those that are only known of the data, among them the first, the batch.
        dtype: that of its elements.
        name: of an input.
    """

    def __init__(self, shape: Shape, dtype: np.dtype, name: str = "") -> None:
        self.shape, self.dtype, self.name = tuple(shape), np.dtype(dtype), name
        self.step: Any = None  # the Step that makes it

    @property
    def ndim(self) -> int:
        """The number of axes, that of the batch included."""
        return len(self.shape)

    def through(self, layer: Layer, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """The symbolic output of ``layer``."""
        return Step(layer, args, options).outputs

    # -- NumPy's protocols and methods

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return Operation(ufunc if method == "__call__" else getattr(ufunc, method))(*inputs, **options)

    def __array_function__(self, function: Callable[..., Any], types: Any, args: Any, options: Any) -> Any:
        return Operation(function)(*args, **options)

    def __getitem__(self, key: Any) -> Any:
        return Operation(operator.getitem)(self, key)

    def reshape(self, *shape: Any) -> Any:
        """``np.reshape``; -1 stands for the extent that remains."""
        return Operation(np.reshape)(self, shape[0] if len(shape) == 1 else shape)

    def astype(self, dtype: Any) -> Any:
        """In another dtype."""
        return Operation(astype)(self, np.dtype(dtype).name)

    def __getattr__(self, name: str) -> Any:
        # x.sum(axis=1) is np.sum(x, axis=1)
        if name not in config.NUMPY:
            raise AttributeError(f"a symbolic batch has no attribute {name!r}")
        return partial(Operation(getattr(np, name)), self)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise UsageError.of(f"a function asked for the numbers of {self!r}, which has none yet",
                            "layers, operators and NumPy functions; Lambda for all other functions",
                            "Lambda(function)(x)")

    def __bool__(self) -> bool:
        raise UsageError.of(f"a Python condition on {self!r}, which has no numbers yet", "np.where",
                            "np.where(x > 0, x, -x)")

    def __len__(self) -> int:
        raise UsageError.of(f"len() or a loop over {self!r}", "its shape", "x.shape[1]")

    __iter__ = None
    __hash__ = object.__hash__

    def __repr__(self) -> str:
        name = f", name={self.name!r}" if self.name else ""
        return f"Symbol(shape={self.shape}, dtype={self.dtype.name}{name})"


@config.register
def astype(x: Any, dtype: str) -> Any:
    """``x.astype(dtype)`` as a function."""
    return x.astype(np.dtype(dtype))


config.register(operator.getitem)


class Step:
    """One application of a layer to symbols.

    Attributes:
        layer: what was applied.
        args: its arguments: symbols, arrays, and containers of them.
        options: its arguments by name.
        outputs: what it gave: a symbol, or a container of symbols.
        number: larger than those of the steps before.
    """

    def __init__(self, layer: Layer, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        self.layer, self.args, self.options = layer, args, options
        self.number = next(_NUMBERS)
        self.inputs = [x for x in tree.flatten((args, options))[0] if isinstance(x, Symbol)]
        built = layer.built
        self.outputs = _applied(layer, args, options, self.inputs)
        if layer.built and not built:  # for the extents of the symbols, not for those that stood for unknown ones
            layer.mark_built(*map(shapes_of, signature_of(layer).positional(args, options)[0]))
        for symbol in tree.flatten(self.outputs)[0]:
            symbol.step = self
        layer.output_shape = tree.map_leaves(lambda symbol: symbol.shape, self.outputs)
        # weak: what a layer was used for must not live as long as the layer
        layer._inbound[:] = [r for r in layer._inbound if r() is not None] + [weakref.ref(self)]

    @classmethod
    def of_input(cls, layer: Layer, symbol: Symbol) -> Step:
        """Where the symbol of an input comes from."""
        step = cls.__new__(cls)
        step.layer, step.args, step.options, step.inputs, step.outputs = layer, (), {}, [], symbol
        step.number = next(_NUMBERS)
        layer._inbound.append(weakref.ref(step))
        return step


def _applied(layer: Layer, args: tuple[Any, ...], options: dict[str, Any], inputs: list[Symbol]) -> Any:
    """Symbols for the outputs, their shapes found by recording the layer for a batch of some size."""
    def run(*values: Any) -> Any:
        given = dict(zip(map(id, inputs), values, strict=True))
        return layer(*replaced(args, given), **replaced(options, given))
    found, structure = output_shapes(run, [(s.shape, s.dtype) for s in inputs], bool(options.get("training")))
    return tree.unflatten(structure, [Symbol(shape, dtype) for shape, dtype in found])


def replaced(container: Any, values: dict[int, Any]) -> Any:
    """A container with values, found by identity, in place of its symbols."""
    if isinstance(container, Symbol):
        return values[id(container)]
    if isinstance(container, list | tuple):
        return type(container)([replaced(each, values) for each in container])
    if isinstance(container, dict):
        return {name: replaced(each, values) for name, each in container.items()}
    return container


class InputLayer(Layer):
    """Where data enter a model; made by :func:`Input`."""

    def __init__(self, shape: Sequence[int | None] | None = None, batch_size: int | None = None, dtype: Any = None,
                 *, name: str | None = None, batch_shape: Sequence[int | None] | None = None) -> None:
        if shape is None and batch_shape is None:
            raise ArgumentError.of("Input without a shape", "the extents of one sample", "Input(shape=(10,))")
        if batch_shape is not None and (shape is not None or batch_size is not None):
            raise ArgumentError.of(f"Input got batch_shape={batch_shape} beside shape={shape}, batch_size={batch_size}",
                                   "one way to say it", "Input(batch_shape=(32, 10))")
        given = shape if shape is not None else tuple(batch_shape or ())[1:]
        super().__init__(name, input_shape=() if given == () else given, dtype="float32")
        batch = batch_size if batch_shape is None else tuple(batch_shape)[0]
        self.batch_shape = self.input_shape = (batch, *(self.given_shape or ()))
        self.input_dtype = FLOAT if dtype is None else np.dtype(dtype)
        self.built, self.argument_shapes, self.output_shape = True, (self.batch_shape,), self.batch_shape
        self.symbol = Symbol(self.batch_shape, self.input_dtype, name or "")
        self.symbol.step = Step.of_input(self, self.symbol)

    def call(self, x: Any) -> Any:
        """The batch as it is."""
        return x

    def describe(self) -> str:
        """The shape."""
        return f"shape={self.given_shape}"


def Input(shape: Sequence[int | None] | None = None, batch_size: int | None = None, dtype: Any = None,  # noqa: N802
          *, name: str | None = None, batch_shape: Sequence[int | None] | None = None) -> Symbol:
    """Where data enter a model: a symbolic batch, to which layers are applied, or the first entry of a Sequential.

    Args:
        shape: the extents of one sample; None for an extent that varies from batch to batch.
        batch_size: the number of samples, where it is fixed.
        dtype: float32, or int32 for labels such as words.
        name: of the input.
        batch_shape: all extents, in place of ``shape`` and ``batch_size``.

    Example:
        >>> x = Input(shape=(28, 28, 1))
        >>> Flatten()(x).shape
        (None, 784)
    """
    return InputLayer(shape, batch_size, dtype, name=name, batch_shape=batch_shape).symbol


class Operation(Layer):
    """A function of NumPy, or an operator, as a layer; made by applying it to symbols.

    Args:
        function: what is applied.
        name: of the layer.
    """

    supports_masking = True

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        super().__init__(name)
        self.function = function
        if not self.named:
            self.name = self.base_name

    def converted(self, x: Any) -> Any:
        """Arguments as they are: also axes, slices and the like."""
        return x

    @property
    def base_name(self) -> str:
        """The function's name."""
        return getattr(self.function, "__name__", "operation")

    def call(self, *args: Any, **options: Any) -> Any:
        """What the function gives."""
        return self.function(*args, **options)

    def describe(self) -> str:
        """The function's name."""
        return self.base_name


class Network:
    """Steps from some symbols to others, in the order in which they can be run.

    Args:
        inputs: symbols made by :func:`Input`, or others: then what made them is left out.
        outputs: symbols that these determine.
    """

    def __init__(self, inputs: Any, outputs: Any) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.entries: list[Symbol] = _symbols(inputs, "inputs")
        self.results: list[Symbol] = _symbols(outputs, "outputs")
        self.steps = self._ordered()

    def _ordered(self) -> list[Step]:
        """The steps that the outputs need, each once, every one after those it needs."""
        known, found, open_ = {id(s) for s in self.entries}, {}, list(self.results)
        while open_:
            symbol = open_.pop()
            step = symbol.step
            if id(symbol) in known or step is None or step.number in found:
                continue
            if isinstance(step.layer, InputLayer):
                raise ArgumentError.of(f"the outputs need the input {step.layer.name!r} (shape {symbol.shape}), which "
                                       "is not among the inputs", "all inputs that the outputs are computed from",
                                       "Model(inputs=[a, b], outputs=y)")
            found[step.number] = step
            open_ += step.inputs
        return [found[number] for number in sorted(found)]

    @property
    def layers(self) -> list[Layer]:
        """The layers, those of the inputs first, each once."""
        entrances = [s.step.layer for s in self.entries if s.step is not None and isinstance(s.step.layer, InputLayer)]
        return list(dict.fromkeys([*entrances, *(step.layer for step in self.steps)]))

    def run(self, inputs: Any) -> Any:
        """The outputs for batches in the structure of ``inputs``, or a flat list of them, or a dict by their names."""
        values = dict(zip(map(id, self.entries), self.flat(inputs), strict=True))
        for step in self.steps:
            result = step.layer(*replaced(step.args, values), **replaced(step.options, values))
            for symbol, value in zip(tree.flatten(step.outputs)[0], tree.flatten(result)[0], strict=True):
                values[id(symbol)] = value
        return replaced(self.outputs, values)

    def flat(self, inputs: Any) -> list[Any]:
        """Batches in the order of the entries."""
        if isinstance(inputs, dict) and not isinstance(self.inputs, dict):
            names = [s.name or (s.step.layer.name if s.step else "") for s in self.entries]
            if set(names) <= set(inputs):
                return [inputs[name] for name in names]
        leaves = tree.flatten(inputs)[0]
        if len(leaves) != len(self.entries):
            raise ArgumentError.of(f"got {len(leaves)} inputs for a model with {len(self.entries)}",
                                   f"batches of shapes {', '.join(str(s.shape) for s in self.entries)}",
                                   "model([a, b])")
        return leaves


def _symbols(container: Any, what: str) -> list[Symbol]:
    leaves, example = tree.flatten(container)[0], "x = Input((10,)); Model(x, Dense(1)(x))"
    for leaf in leaves:
        if not isinstance(leaf, Symbol):
            kind = "array" if isinstance(leaf, np.ndarray | Traced) else type(leaf).__name__
            raise ArgumentError.of(f"{what} of a model hold {kind} {leaf!r}"[:200],
                                   "what Input gave, and what layers made of it", example)
    if not leaves:
        raise ArgumentError.of(f"{what} of a model are empty", "at least one", example)
    return leaves


__all__ = ["Input", "InputLayer", "Network", "Operation", "Symbol"]
