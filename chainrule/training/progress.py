"""What ``fit`` prints: drawn a few times a second from what the loop over epochs records anyway.

Between short epochs the loop itself draws when it is time to; during a long one a thread does, which sleeps otherwise:
threads that both want to run Python cost more than the drawing.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

from chainrule.errors import ArgumentError

_INTERVAL = 0.1  # seconds between two drawings
_WIDTH = 20


class Record:
    """What the loop over epochs appends to and :class:`Progress` reads: an epoch is there when its time is.

    Attributes:
        steps: of an epoch; None while that is not known.
        before: epochs that the columns held already, of a run that is resumed.
        begun: the step at which the epoch that runs began.
    """

    def __init__(self, first: int, epochs: int, steps: int | None, batch: int, columns: dict[str, list[float]],
                 state: dict[str, Any], results: Callable[[Any, int], dict[str, Any]]) -> None:
        self.first, self.epochs, self.steps, self.batch = first, epochs, steps, batch
        self.columns = columns
        self.seconds: list[float] = []
        self.state, self.results = state, results
        self.before = 0
        self.begun = int(state["step"])


def verbosity(verbose: Any) -> int:
    """0, 1 or 2 from what the user gave: ``'auto'`` is 1."""
    if verbose == "auto" or verbose is True:
        return 1
    if verbose in (0, 1, 2):
        return int(verbose)
    raise ArgumentError.of(f"got verbose={verbose!r}", "0 (silent), 1 (progress), 2 (a line per epoch) or 'auto'",
                           "verbose=1")


class Progress:
    """What one ``fit`` prints; a context manager that prints the rest when it ends.

    ``due`` is the time (of ``time.perf_counter``) from which on :meth:`draw` is worth a call.
    """

    def __init__(self, verbose: int, record: Record, out: TextIO | None = None) -> None:
        self.verbose, self.record = verbose, record
        self.out = out or sys.stdout
        self.live = verbose == 1 and self.out.isatty()
        self._drawn = 0
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._begun = time.perf_counter()
        self.due = self._begun + _INTERVAL if verbose else math.inf

    def __enter__(self) -> Progress:
        if self.verbose:
            self._end = threading.Event()
            self._thread = threading.Thread(target=self._run, name="chainrule-progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._thread is not None:
            self._end.set()
            self._thread.join()
            self.draw(last=True)

    def _run(self) -> None:
        while not self._end.wait(_INTERVAL):
            if time.perf_counter() > self.due + _INTERVAL / 2:  # the loop is in a long epoch
                self.draw()

    def draw(self, last: bool = False) -> None:
        """Print the epochs that ended since the last drawing, and in a terminal the one that runs."""
        if not self.verbose:
            return
        with self._lock:
            record, done = self.record, len(self.record.seconds)
            text = "".join([self._epoch(i) for i in range(self._drawn, done)])
            self._drawn = done
            self.due = time.perf_counter() + _INTERVAL
            if self.live:
                running = not last and record.first + done < record.epochs
                text = "\r\x1b[K" + text + (self._running(done) if running else "")
            if text:
                self.out.write(text)
                self.out.flush()

    def _epoch(self, i: int) -> str:
        record = self.record
        seconds, steps, row = record.seconds[i], record.steps or 1, i + record.before
        values = " - ".join([f"{name}: {number(column[row])}" for name, column in sorted(record.columns.items())
                             if len(column) > row])
        head = f"Epoch {record.first + i + 1}/{record.epochs}\n{steps}/{steps} "
        each = f"{duration(seconds / steps)}/step"
        if self.verbose == 2:
            return f"{head}- {seconds:.0f}s - {each} - {values}\n"
        return f"{head}{'━' * _WIDTH} {seconds:.0f}s {each} - {values}\n"

    def _running(self, done: int) -> str:
        """One line on the epoch that runs: where it is, as far as the native code shows it."""
        record = self.record
        steps, at = record.steps, max(int(record.state["step"]) - record.begun, 0)
        line = f"Epoch {record.first + done + 1}/{record.epochs} {at}"
        if steps is not None:
            at = min(at, steps)
            filled = at * _WIDTH // steps
            line = f"Epoch {record.first + done + 1}/{record.epochs} {at}/{steps} "
            line += "━" * filled + "─" * (_WIDTH - filled)
        if not at:
            return line
        if steps is not None:
            made, wanted = done * steps + at, (record.epochs - record.first) * steps
            left = (wanted - made) * (time.perf_counter() - self._begun) / made
            line = f"{line} {duration(left)} left"
        so_far = record.results(record.state["sums"], at * record.batch)
        return f"{line} - {numbers(so_far)}"


def numbers(values: dict[str, float]) -> str:
    """``accuracy: 0.5000 - loss: 0.6931``: in the order of Keras, those of the validation data last."""
    return " - ".join(f"{name}: {number(values[name])}" for name in sorted(values))


def number(value: Any) -> str:
    """Four places, in scientific notation if these would show nothing; of several values their mean."""
    value = float(np.mean(value)) if isinstance(value, np.ndarray) else value
    return f"{value:.4f}" if abs(value) > 1e-3 or value == 0 else f"{value:.4e}"


def duration(seconds: float) -> str:
    """``12us``, ``3ms``, ``2s`` or ``1:05``."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g}us"
    if seconds < 1:
        return f"{seconds * 1e3:.3g}ms"
    return f"{seconds:.0f}s" if seconds < 60 else f"{seconds // 60:.0f}:{seconds % 60:02.0f}"
