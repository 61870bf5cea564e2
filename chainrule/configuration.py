"""Objects as plain data (numbers, strings, lists, dicts), and back: layers, losses, metrics, optimizers.

Nothing that is read is executed: a class or function is found by its name among those of the package, those that the
program itself registered, and those that it names as ``custom_objects``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from chainrule.errors import ArgumentError, UsageError, unknown_name

_CLASSES: dict[str, dict[str, type]] = {}  # those of the package, by kind and name
_FUNCTIONS: dict[str, Any] = {}  # those of the package
_REGISTERED: dict[str, Any] = {}  # classes and functions of the program
_CUSTOM: ContextVar[Mapping[str, Any]] = ContextVar("custom_objects", default={})  # noqa: B039  never changed in place
LAYER = "layer"  # the kind of classes that are written down without a kind

C = TypeVar("C", bound=Callable[..., Any])


def offer(cls: type, kind: str) -> None:
    """Make a class of the package known by its name; those of others wait for :func:`register`."""
    if cls.__module__.startswith("chainrule."):
        _CLASSES.setdefault(kind, {})[cls.__name__] = cls


def offer_functions(functions: Mapping[str, Any]) -> None:
    """Make functions of the package known by their names."""
    _FUNCTIONS.update(functions)


def register(cls: C) -> C:
    """Make a class or function of your own known to ``from_config`` and ``load_model`` by its name; a decorator.

    Example:
        >>> @register
        ... def twice(x):
        ...     return 2 * x
        >>> deserialize(serialize(twice)) is twice
        True
    """
    _REGISTERED[cls.__name__] = cls
    return cls


@contextmanager
def custom_object_scope(objects: Mapping[str, Any] | None) -> Iterator[None]:
    """Inside, classes and functions of these names are known, before all others.

    Example:
        >>> with custom_object_scope({"twice": lambda x: 2 * x}):
        ...     deserialize({"function": "twice"})(4)
        8
    """
    token = _CUSTOM.set({**_CUSTOM.get(), **(objects or {})})
    try:
        yield
    finally:
        _CUSTOM.reset(token)


class Configured:
    """What can be written down by the arguments it was made with. A base names its ``kind``.

    Example:
        >>> class Scale(Configured):
        ...     def __init__(self, factor=2.0):
        ...         self.factor = factor
        >>> Scale(3.0).get_config()
        {'factor': 3.0}
        >>> Scale.from_config({"factor": 4.0}).factor
        4.0
    """

    __slots__ = ("_given",)
    kind: ClassVar[str] = ""
    _given: tuple[tuple[Any, ...], dict[str, Any]]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        offer(cls, cls.kind)

    def __new__(cls, *args: Any, **options: Any) -> Self:
        """Keeps the arguments."""
        made = super().__new__(cls)
        made._given = args, options
        return made

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an object like this one, as plain data; what has been set since as it is now."""
        return arguments_of(self, *self._given, now=self._now())

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """An object from what :meth:`get_config` gave."""
        with custom_object_scope(custom_objects):
            return cls(**{name: deserialize(value) for name, value in config.items()})

    def _now(self) -> dict[str, Any]:
        """Arguments that may be other than those given: the name, where there is one."""
        return {"name": self.name} if hasattr(self, "name") else {}


def arguments_of(made: Any, args: tuple[Any, ...], options: dict[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that an object was made with, defaults included, as plain data.

    Args:
        made: the object.
        args: given by position.
        options: given by name.
        now: what to write in place of what was given, as far as the constructor takes it.
    """
    signature = inspect.signature(type(made).__init__)
    bound = signature.bind(made, *args, **options)
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
    found |= {name: value for name, value in now.items() if name in found or open_ended}
    return {name: serialize(value) for name, value in found.items()}


def serialize(value: Any) -> Any:
    """``value`` as plain data.

    Raises:
        UsageError: for a function or object that cannot be found again by a name.

    Example:
        >>> from chainrule.regularizers import L2
        >>> serialize(L2(0.5))
        {'kind': 'regularizer', 'class_name': 'L2', 'config': {'l2': 0.5}}
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
    if isinstance(value, type):
        return {"class": value.__name__, **_kind_of(value)}
    if hasattr(value, "get_config"):
        return {**_kind_of(type(value)), "class_name": type(value).__name__, "config": value.get_config()}
    return _function_data(value)


def _kind_of(cls: type) -> dict[str, str]:
    kind = getattr(cls, "kind", LAYER)
    return {} if kind == LAYER else {"kind": kind}


def _function_data(value: Any) -> dict[str, str]:
    name = getattr(value, "__name__", "")
    if isinstance(value, np.ufunc) or str(getattr(value, "__module__", "")).startswith("numpy"):
        return {"function": f"np.{name}"}
    if not name.isidentifier() or _known(name) not in (value, None):
        raise UsageError.of(f"{value!r} cannot be written as plain data", "a name, or a class or function with a name "
                            "of its own", "def mine(x): …   # then load_model(path, custom_objects={'mine': mine})")
    return {"function": name}


def deserialize(data: Any, custom_objects: Mapping[str, Any] | None = None, kind: str | None = None) -> Any:
    """The inverse of :func:`serialize`.

    Args:
        data: what :func:`serialize` gave.
        custom_objects: classes and functions of the program by their names.
        kind: of the object, where the data does not say it.

    Example:
        >>> deserialize({"kind": "regularizer", "class_name": "L2", "config": {"l2": 0.5}})
        L2(l1=0.0, l2=0.5)
    """
    if custom_objects:
        with custom_object_scope(custom_objects):
            return deserialize(data, kind=kind)
    if isinstance(data, list):
        return [deserialize(each) for each in data]
    if not isinstance(data, dict):
        return data
    keys = set(data)
    if keys - {"kind"} == {"class_name", "config"}:
        cls, config = find(data["class_name"], data.get("kind", kind)), data["config"]
        if hasattr(cls, "from_config"):
            return cls.from_config(config)
        return cls(**{name: deserialize(value) for name, value in config.items()})
    if keys - {"kind"} == {"class"}:
        return find(data["class"], data.get("kind", kind))
    if keys == {"function"}:
        return _function(data["function"])
    if keys == {"slice"}:
        return slice(*data["slice"])
    if keys == {"index"}:
        return tuple(deserialize(each) for each in data["index"])
    if keys == {"ellipsis"}:
        return Ellipsis
    if keys == {"array", "dtype"}:
        return np.array(data["array"], data["dtype"])
    return {name: deserialize(value) for name, value in data.items()}


def find(name: str, kind: str | None = None) -> Any:
    """The class called ``name``, of the package, registered or custom.

    Args:
        name: of the class.
        kind: ``'loss'``, ``'optimizer'``, …; None: a layer, or if there is none of that name any other.
    """
    mine = _known(name)
    if isinstance(mine, type):
        return mine
    kinds = [kind] if kind is not None else [LAYER, *_CLASSES]
    for each in kinds:
        found = _CLASSES.get(each, {}).get(str(name))
        if found is not None:
            return found
    many = [n for each in kinds for n in _CLASSES.get(each, {})]
    error = unknown_name("class" if kind is None else kind, name, [*many, *_REGISTERED], "class_name")
    error.add_note("  One of your own is named by custom_objects={'Name': Name}, or registered by "
                   "@chainrule.layers.register.")
    raise error


def _known(name: Any) -> Any:
    """The class or function of that name that the program made known, else the package's function; None for none."""
    for known in (_CUSTOM.get(), _REGISTERED, _FUNCTIONS):
        if name in known:
            return known[name]
    return None


def _function(name: str) -> Any:
    found = _known(name)
    if found is not None:
        return found
    if name.startswith("np."):
        found = getattr(np, name.removeprefix("np."), None)
        if isinstance(found, np.ufunc) or name.removeprefix("np.") in NUMPY:
            return found
        raise ArgumentError.of(f"{name!r} is none of the functions that a model may name", f"one of {sorted(NUMPY)}",
                               "")
    error = unknown_name("function", name, [*_REGISTERED, *_FUNCTIONS])
    error.add_note(f"  One of your own is named by custom_objects={{{name!r}: {name}}}, or registered by "
                   "@chainrule.layers.register.")
    raise error


# NumPy's functions that a saved model may call, beside its ufuncs: they compute, and do nothing else
NUMPY = frozenset((
    "abs all amax amin any argmax argmin average broadcast_to clip concatenate cumprod cumsum diff dot einsum "
    "expand_dims flip max mean min moveaxis pad prod ravel repeat reshape roll rollaxis round sort split squeeze stack "
    "std sum swapaxes take tensordot tile transpose var where").split())


__all__ = ["Configured", "NUMPY", "arguments_of", "custom_object_scope", "deserialize", "find", "offer",
           "offer_functions", "register", "serialize"]
