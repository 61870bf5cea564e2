"""The arguments of a compiled function: which are arrays to trace, and which are known when it is compiled."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chainrule.errors import ArgumentError, ChainruleTypeError


@dataclass(frozen=True)
class Request:
    """A call without its static arguments.

    Attributes:
        function: of traced arguments alone.
        args: those arguments; what was given by name is a dict at the end.
        key: equal for equal static arguments; None if there are none.
        places: which arguments of the call the first ``args`` are.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]
    key: Any
    places: Sequence[int]


class Signature:
    """How the calls of ``function`` are taken apart.

    Args:
        function: what is compiled.
        static_argnames: names of arguments that are part of the program, like an axis or the name of an activation:
            each combination of their values is compiled by itself. They must be hashable.
    """

    def __init__(self, function: Callable[..., Any], static_argnames: str | Sequence[str] = ()) -> None:
        self.function = function
        self.static = frozenset((static_argnames,) if isinstance(static_argnames, str) else static_argnames)
        self.names: list[str] = []
        if self.static:
            self.names = self._positional()

    def _positional(self) -> list[str]:
        """The names of the parameters that may be given by position."""
        parameters = inspect.signature(self.function).parameters.values()
        known = {p.name for p in parameters}
        anything = any(p.kind is p.VAR_KEYWORD for p in parameters)
        wrong = sorted(self.static - known)
        if wrong and not anything:
            raise ArgumentError.of(f"static_argnames={wrong} for a function with arguments {', '.join(sorted(known))}",
                                   "names of its arguments", "cr.jit(f, static_argnames=('axis',))")
        return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]

    def split(self, args: tuple[Any, ...], options: dict[str, Any]) -> Request:
        """One call taken apart."""
        if not options and not self.static:
            return Request(self.function, args, None, range(len(args)))
        fixed = {i: a for i, (name, a) in enumerate(zip(self.names, args, strict=False)) if name in self.static}
        fixed_options = {name: a for name, a in options.items() if name in self.static}
        key = (*((place, type(a), a) for place, a in (*fixed.items(), *sorted(fixed_options.items()))), tuple(options))
        try:
            hash(key)
        except TypeError:
            raise ChainruleTypeError.of("a static argument that is not hashable", "numbers, strings, tuples, None",
                                        "f(x, axes=(0, 1))   # not a list or an array") from None
        places = [i for i in range(len(args)) if i not in fixed]
        by_name = {name: a for name, a in options.items() if name not in self.static}

        def call(*given: Any) -> Any:
            positional, named = iter(given[:len(places)]), given[len(places)]
            return self.function(*(fixed[i] if i in fixed else next(positional) for i in range(len(args))),
                                 **fixed_options, **named)
        call.__name__ = getattr(self.function, "__name__", "function")
        return Request(call, (*(args[i] for i in places), by_name), key, places)
