"""The arguments of a compiled function: which are arrays to trace, and which are known when it is compiled."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from chainrule.errors import ArgumentError, ChainruleTypeError


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

    def split(self, args: tuple[Any, ...], options: dict[str, Any]) -> tuple[Callable[..., Any], tuple[Any, ...], Any]:
        """A function of traced arguments alone, these arguments, and a key for the values of the others."""
        if not options and not self.static:
            return self.function, args, None
        fixed = {i: a for i, (name, a) in enumerate(zip(self.names, args, strict=False)) if name in self.static}
        fixed_options = {name: a for name, a in options.items() if name in self.static}
        key = (*((place, type(a), a) for place, a in (*fixed.items(), *sorted(fixed_options.items()))), tuple(options))
        try:
            hash(key)
        except TypeError:
            raise ChainruleTypeError.of("a static argument that is not hashable", "numbers, strings, tuples, None",
                                        "f(x, axes=(0, 1))   # not a list or an array") from None
        traced = tuple(a for i, a in enumerate(args) if i not in fixed)
        traced_options = {name: a for name, a in options.items() if name not in self.static}

        def call(*given: Any) -> Any:
            positional, by_name = iter(given[:len(traced)]), given[len(traced)]
            return self.function(*(fixed[i] if i in fixed else next(positional) for i in range(len(args))),
                                 **fixed_options, **by_name)
        call.__name__ = getattr(self.function, "__name__", "function")
        return call, (*traced, traced_options), key
