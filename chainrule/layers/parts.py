"""What the base of all layers is made of: shapes, dtypes, names, the arguments of ``call``."""

from __future__ import annotations

import inspect
import re
import weakref
from collections.abc import Callable, Sequence
from functools import wraps
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np

from chainrule import dtypes, tree
from chainrule.arguments import whole
from chainrule.errors import ArgumentError
from chainrule.layers.weights import FLOAT, Weight
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import Traced

Shape = tuple[int | None, ...]
ARRAYS = (Traced, np.ndarray, np.generic)


class Symbolic:
    """What stands for a batch while a model is put together; ``layers/symbolic.py`` has the class."""

    def through(self, layer: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """What ``layer`` makes of it."""
        raise NotImplementedError


def building(build: Callable[..., None]) -> Callable[..., None]:
    """``build`` of a layer, which leaves it built also when a user calls it."""
    @wraps(build)
    def run(self: Any, *shapes: Any, **named: Any) -> None:
        build(self, *shapes, **named)
        self.mark_built(*inspect.signature(build).bind(self, *shapes, **named).args[1:])
    return run


class Signature(NamedTuple):
    """What ``call`` and ``build`` of a class take."""

    training: bool
    masks: tuple[tuple[str, int, int], ...]  # arguments for masks: name, of which positional argument, own position
    shapes: int  # how many shapes build takes
    names: tuple[str, ...]  # of the arguments of call, up to the first that is no batch

    def positional(self, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Batches that were given by name moved to their positions."""
        if "inputs" in options and not args:  # Keras's name of the first
            args = (options.pop("inputs"),)
        found = list(args)
        for name in self.names[len(args):]:
            if name not in options:
                break
            found.append(options[name])
        moved = self.names[len(args):len(found)]
        return tuple(found), {name: value for name, value in options.items() if name not in moved}


def signature_of(layer: Any) -> Signature:
    """What ``call`` and ``build`` of a layer take."""
    cls = type(layer)
    known = _SIGNATURES.get(cls)
    if known is None:
        known = _SIGNATURES[cls] = _signature(cls)
    return known


# weak: a class that a program makes and drops is not kept
_SIGNATURES: weakref.WeakKeyDictionary[type, Signature] = weakref.WeakKeyDictionary()


def _signature(cls: Any) -> Signature:
    names = list(inspect.signature(cls.call).parameters)[1:]
    takes = inspect.signature(cls.call).parameters
    masks = [("mask", 0, names.index("mask"))] if "mask" in names else []
    masks += [(f"{name}_mask", i, names.index(f"{name}_mask")) for i, name in enumerate(names)
              if f"{name}_mask" in names]
    build = [p for p in list(inspect.signature(cls.build).parameters.values())[1:] if p.kind is p.POSITIONAL_OR_KEYWORD]
    batches = list(takewhile(lambda name: takes[name].default in (takes[name].empty, None) and name != "training"
                             and not name.endswith("mask") and takes[name].kind is takes[name].POSITIONAL_OR_KEYWORD,
                             names))
    return Signature("training" in takes, tuple(masks), len(build), tuple(batches))


def penalties(weights: Sequence[Weight]) -> list[Any]:
    """What the regularizers of weights add to the loss."""
    return [w.regularizer(w.value) for w in weights if w.regularizer is not None]


def as_input(x: Any, dtype: np.dtype | None = FLOAT) -> Any:
    """An array in the dtype that a layer computes in; with None only floats are converted, to float32."""
    if not isinstance(x, ARRAYS):  # a flag, a number, a name
        return x
    array = x if isinstance(x, Traced) else np.asarray(x)
    wanted = dtype if dtype is not None else FLOAT if dtypes.is_float(array.dtype) else array.dtype
    if array.dtype == wanted:
        return array
    return ew.cast(array, dtype=wanted) if isinstance(array, Traced) else array.astype(wanted)


def layer_name(name: str) -> str:
    """What a layer of a class is called: ``max_pooling2d`` of ``MaxPooling2D``."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name.lstrip("_"))
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def shapes_of(x: Any) -> Any:
    """The shapes of a container of batches, the first extent of each None."""
    return tree.map_leaves(lambda a: (None, *a.shape[1:]) if hasattr(a, "shape") else None, x)


def masks_of(mask: Any) -> list[Any]:
    """The mask of each output."""
    return list(mask) if isinstance(mask, list | tuple) else [mask]


def given_shape(input_shape: Any, input_dim: Any) -> Shape | None:
    """The shape of one sample, from the two ways to give it."""
    if input_dim is not None:
        return (whole("input_dim", input_dim),)
    if input_shape is None:
        return None
    extents = (input_shape,) if isinstance(input_shape, int) else tuple(input_shape)
    if any(n is not None and (not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 1) for n in extents):
        raise ArgumentError.of(f"got input_shape={input_shape!r}", "the extents of one sample, whole numbers above 0, "
                               "without the batch", "input_shape=(28, 28)")
    return tuple(None if n is None else int(n) for n in extents)


def unique_names(layers: Sequence[Any]) -> None:
    """Give layers without a name of their own one that no other has: ``dense``, ``dense_1`` and so on."""
    taken = {layer.name for layer in layers if layer.named}
    for layer in layers:
        if not layer.named:
            k = 0
            while layer.name in taken:
                k += 1
                layer.name = f"{layer.base_name}_{k}"
            taken.add(layer.name)
