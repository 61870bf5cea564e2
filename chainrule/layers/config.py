"""Layers and their parts as plain data (numbers, strings, lists, dicts), and back.

Nothing that is read is executed: a class is found by its name among those of the package and those that the program
itself registered.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from chainrule import activations, constraints, initializers, regularizers
from chainrule.errors import ArgumentError, UsageError, unknown_name

_LAYERS: dict[str, type] = {}  # those of the package
_REGISTERED: dict[str, Any] = {}  # classes and functions of the program
_MODULES = (initializers, regularizers, constraints)

C = TypeVar("C", bound=Callable[..., Any])


def offer(cls: type) -> None:
    """Make a layer of the package known by its name; those of others wait for :func:`register`."""
    if cls.__module__.startswith("chainrule."):
        _LAYERS[cls.__name__] = cls


def register(cls: C) -> C:
    """Make a class or function of your own known to ``from_config`` and ``load_model`` by its name; a decorator.

    Example:
        >>> @register
        ... class Twice(Layer):
        ...     def call(self, x):
        ...         return 2 * x
        >>> deserialize(serialize(Twice()))
        Twice()
    """
    _REGISTERED[cls.__name__] = cls
    return cls


def arguments_of(layer: Any, args: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
    """The arguments a layer was made with, defaults included, as plain data; name and ``trainable`` as they are now."""
    signature = inspect.signature(type(layer).__init__)
    bound = signature.bind(layer, *args, **options)
    bound.apply_defaults()
    found: dict[str, Any] = {}
    open_ended = False
    for name, value in list(bound.arguments.items())[1:]:
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            found.update(value)
            open_ended = True
        elif kind is not inspect.Parameter.VAR_POSITIONAL:
            found[name] = value
    found = {**{name: getattr(layer, name) for name in layer.shared_arguments}, **found}
    for name, value in (("name", layer.name), ("trainable", layer.trainable)):
        if name in found or open_ended:
            found[name] = value
    return {name: serialize(value) for name, value in found.items()}


def serialize(value: Any) -> Any:
    """``value`` as plain data.

    Raises:
        UsageError: for a function or object that cannot be found again by its name.

    Example:
        >>> serialize(initializers.Constant(2.0))
        {'class_name': 'Constant', 'config': {'value': 2.0}}
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.name}
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, tuple) and any(isinstance(each, slice | type(...)) for each in value):
        return {"index": [serialize(each) for each in value]}
    if isinstance(value, list | tuple):
        return [serialize(each) for each in value]
    if isinstance(value, slice):
        return {"slice": [serialize(each) for each in (value.start, value.stop, value.step)]}
    if value is Ellipsis:
        return {"ellipsis": True}
    if isinstance(value, dict):
        return {str(name): serialize(each) for name, each in value.items()}
    if hasattr(value, "get_config"):
        return {"class_name": type(value).__name__, "config": value.get_config()}
    name = getattr(value, "__name__", "")
    if _REGISTERED.get(name) is value or (callable(value) and getattr(activations, name, None) is value):
        return {"function": name}
    if isinstance(value, np.ufunc) or str(getattr(value, "__module__", "")).startswith("numpy"):
        return {"function": f"np.{name}"}
    if isinstance(value, type) or not hasattr(type(value), "__init__") or callable(value) and not _known(value):
        raise UsageError.of(f"{value!r} cannot be written as plain data", "a name, or a class or function registered "
                            "under its own name", "@chainrule.layers.register")
    return {"class_name": type(value).__name__, "config": _attributes(value)}


def deserialize(data: Any) -> Any:
    """The inverse of :func:`serialize`.

    Example:
        >>> deserialize({"class_name": "Dense", "config": {"units": 3}})
        Dense(3)
    """
    if isinstance(data, list):
        return [deserialize(each) for each in data]
    if not isinstance(data, dict):
        return data
    if set(data) == {"class_name", "config"}:
        cls = find(data["class_name"])
        if hasattr(cls, "from_config"):
            return cls.from_config(data["config"])
        return cls(**{name: deserialize(value) for name, value in data["config"].items()})
    if set(data) == {"function"}:
        return _function(data["function"])
    if set(data) == {"slice"}:
        return slice(*data["slice"])
    if set(data) == {"index"}:
        return tuple(deserialize(each) for each in data["index"])
    if set(data) == {"ellipsis"}:
        return Ellipsis
    if set(data) == {"array", "dtype"}:
        return np.array(data["array"], data["dtype"])
    return {name: deserialize(value) for name, value in data.items()}


def find(name: str) -> Any:
    """The class called ``name``, of the package or registered."""
    for known in (_REGISTERED, _LAYERS, *(vars(module) for module in _MODULES)):
        found = known.get(name)
        if isinstance(found, type):
            return found
    raise unknown_name("class", name, [*_LAYERS, *_REGISTERED], "class_name")


def _function(name: str) -> Any:
    if name in _REGISTERED:
        return _REGISTERED[name]
    if name.startswith("np."):
        found = getattr(np, name.removeprefix("np."), None)
        if isinstance(found, np.ufunc) or name.removeprefix("np.") in NUMPY:
            return found
        raise ArgumentError.of(f"{name!r} is none of the functions that a model may name", f"one of {sorted(NUMPY)}",
                               "")
    return activations.get(name)


# NumPy's functions that a saved model may call, beside its ufuncs: they compute, and do nothing else
NUMPY = frozenset((
    "abs all amax amin any argmax argmin average broadcast_to clip concatenate cumprod cumsum diff dot einsum "
    "expand_dims flip max mean min moveaxis pad prod ravel repeat reshape roll rollaxis round sort split squeeze stack "
    "std sum swapaxes take tensordot tile transpose var where").split())


def _known(value: Any) -> bool:
    name = type(value).__name__
    return name in _REGISTERED or any(getattr(module, name, None) is type(value) for module in _MODULES)


def _attributes(value: Any) -> dict[str, Any]:
    """What the constructor of an object takes, read from its attributes of the same names."""
    names = list(inspect.signature(type(value)).parameters)
    return {name: serialize(getattr(value, name)) for name in names if hasattr(value, name)}


__all__ = ["arguments_of", "deserialize", "find", "offer", "register", "serialize"]
