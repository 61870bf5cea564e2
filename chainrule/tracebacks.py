"""What a traceback shows: the user's lines, without those of the package.

Errors leave the package through its public functions, so the frames are taken out there, in one place (:func:`public`).
Which of the two a user wants to see is no option of a computation: nothing that is computed depends on it, and it must
hold for every call alike, also for those inside a library that knows nothing of it. It is therefore a setting of the
process, read here when an error passes, and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import ParamSpec, TypeVar

from chainrule.errors import ChainruleError, unknown_name

_PACKAGE = str(Path(__file__).parent) + os.sep
OWN_FILE: dict[str, bool] = {}  # file name -> whether it belongs to the package
_MODES = ("user", "full")

P = ParamSpec("P")
R = TypeVar("R")


class _Setting:
    mode = "user"


def set_tracebacks(mode: str) -> str:
    """Say which lines the tracebacks of errors show, from now on in the whole process.

    Args:
        mode: ``"user"``, the default, leaves out the lines of this package, so that the last line shown is yours;
            ``"full"`` shows all. An error that the package did not mean to raise always shows all.

    Returns:
        The mode before.

    Raises:
        ArgumentError: for any other mode.

    Example:
        >>> import chainrule as cr
        >>> before = cr.set_tracebacks("full")
        >>> cr.set_tracebacks(before)
        'full'
    """
    if mode not in _MODES:
        raise unknown_name("mode of tracebacks", mode, _MODES, "mode")
    before, _Setting.mode = _Setting.mode, mode
    return before


def is_own(file: str) -> bool:
    """Whether a code object's file belongs to the package."""
    own = OWN_FILE.get(file)
    if own is None:
        own = OWN_FILE[file] = file.startswith(_PACKAGE)
    return own


def shorten(error: BaseException) -> None:
    """Take the frames of the package out of the traceback of ``error``; the caller's own are added as it goes on.

    All frames stay if the error was raised in the package, but not on purpose: they are what a bug report needs.
    """
    if _Setting.mode == "full":
        return
    entries: list[TracebackType] = []
    at = error.__traceback__
    while at is not None:
        entries.append(at)
        at = at.tb_next
    users = [e for e in entries if not is_own(e.tb_frame.f_code.co_filename)]
    if not isinstance(error, ChainruleError) and not (users and users[-1] is entries[-1]):
        return
    shown: TracebackType | None = None
    for entry in reversed(users):
        shown = TracebackType(shown, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    error.__traceback__ = shown


def public(function: Callable[P, R]) -> Callable[P, R]:
    """A function that users call: errors that leave it show their lines only.

    Where a call costs so little that one more Python call would be felt (:class:`~chainrule.runtime.Jitted`), the
    ``except`` clause below stands in the function itself: it costs nothing while nothing is raised.
    """
    @wraps(function)
    def run(*args: P.args, **options: P.kwargs) -> R:
        try:
            return function(*args, **options)
        except Exception as error:
            shorten(error)
            raise  # keeps the traceback as it now is: no line of this function comes back
    return run
