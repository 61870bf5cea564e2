"""Ctrl-C while native code runs: the program is asked to stop, and ends after the step it is in."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

import numpy as np


class Interrupt:
    """While entered, SIGINT does not raise in the middle of an epoch: it sets ``stop``, which running programs poll.

    What the handler in place before would have raised (KeyboardInterrupt) is kept in ``pending``, for the loop to raise
    between two steps. While ``native`` is False, in callbacks, the handler acts at once as usual.

    Python runs signal handlers in the main thread only, and not while it is inside a native call: a long program runs
    in another thread (:meth:`run`) and the main thread waits. Outside the main thread nothing is changed.
    """

    def __init__(self) -> None:
        self.stop = np.zeros((), np.int32)
        self.native = False
        self.pending: BaseException | None = None
        self._previous: Any = None

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)
            if callable(previous):
                self._previous = previous
                signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    @contextmanager
    def python(self) -> Iterator[None]:
        """Inside, between native calls, the handler acts at once as usual."""
        before, self.native = self.native, False
        try:
            yield
        finally:
            self.native = before

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if not self.native:
            self._previous(number, frame)
            return
        try:
            self._previous(number, frame)
        except BaseException as error:
            self.pending = error
            self.stop[...] = 1

    def run(self, program: Callable[[], Any]) -> None:
        """Call ``program`` in a thread of its own, so that signals are handled meanwhile."""
        if self._previous is None:
            program()
            return
        errors: list[BaseException] = []
        done = threading.Event()

        def work() -> None:
            try:
                program()
            except BaseException as error:
                errors.append(error)
            finally:
                done.set()
        threading.Thread(target=work, name="chainrule-epoch", daemon=True).start()
        try:
            while not done.wait(0.1):
                pass
        except BaseException:  # from the handler of another signal: the program must not go on behind its back
            self.stop[...] = 1
            done.wait()
            raise
        if errors:
            raise errors[0]
