"""Errors that say what was wrong, what fits, and the corrected line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class ChainruleError(Exception):
    """The base of every error the package raises on purpose."""

    @classmethod
    def of(cls, given: str, fits: str = "", corrected: str = "") -> Any:
        """An error in the house style: what was given; what fits; the corrected line."""
        text = given[:1].upper() + given[1:] + "."
        if fits:
            text += f"\n  What fits: {fits}."
        if corrected:
            text += f"\n  Corrected: {corrected}"
        return cls(text)


class ShapeError(ChainruleError, ValueError):
    """Shapes that do not fit together."""


class ChainruleTypeError(ChainruleError, TypeError):
    """A dtype or type that cannot be computed with."""


class ArgumentError(ChainruleError, ValueError):
    """An argument out of its range, or an unknown name."""


class DataError(ChainruleError, ValueError):
    """Training data that cannot be trained on."""


class TracedValueError(ChainruleError, TypeError):
    """Python asked for the value of an array that is only known when the compiled function runs."""


class NotFiniteError(ChainruleError, FloatingPointError):
    """NaN or infinity appeared while :func:`chainrule.debug_nans` was on.

    Attributes:
        given: what happened, in a sentence.
        facts: what is known of it, a line each.
        loops: the loops that it happened in, the outermost first: ``(what it is, the number of the turn from 0)``.
        operation: the name of the operation that made it; None if it came in with an argument or a constant.
        source: the user's line; None if unknown.
    """

    def __init__(self, given: str, facts: Iterable[str] = (), loops: Iterable[tuple[str, int]] = (),
                 operation: str | None = None, source: Any = None) -> None:
        self.given, self.facts, self.loops = given, list(facts), list(loops)
        self.operation, self.source = operation, source
        super().__init__(given)

    def __str__(self) -> str:
        turns = [f"In {what}, turn {turn} (counted from 0)." for what, turn in self.loops]
        return "\n  ".join([self.given[:1].upper() + self.given[1:] + ".", *self.facts, *turns])


class MissingExtra(ChainruleError, ImportError):
    """A package that only some features need is not installed."""


class FileError(ChainruleError, OSError):
    """A file that cannot be written, or that does not hold what it should."""


class UsageError(ChainruleError, RuntimeError):
    """A call at the wrong time, such as ``fit`` before ``compile``."""


def unknown_name(what: str, name: object, known: Iterable[str], argument: str = "") -> ArgumentError:
    """``unknown optimizer 'adm'``, with the nearest right names."""
    names = sorted(known)
    near = difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.5)
    argument = argument or what
    return ArgumentError.of(
        f"unknown {what} {name!r}", f"one of {', '.join(names)}", f"{argument}={near[0]!r}" if near else "")
