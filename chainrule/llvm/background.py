"""Compiles the modules of a program in threads, while further ones are emitted."""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from chainrule.llvm import ir
from chainrule.llvm.jit import Target, compile_module

HAND_OVER = 1e-4  # seconds after which a thread lets others use the interpreter


class _Pace:
    lock = threading.Lock()
    users = 0
    usual = 0.0


@contextmanager
def handing_over() -> Iterator[None]:
    """Let Python's threads take turns more often meanwhile.

    A thread that compiles needs the interpreter for a moment between LLVM's functions. The one that emits does nothing
    but Python, and would let it wait 5 ms each time: nothing would be compiled before all is emitted.
    """
    with _Pace.lock:
        if _Pace.users == 0:
            _Pace.usual = sys.getswitchinterval()
            sys.setswitchinterval(min(HAND_OVER, _Pace.usual))
        _Pace.users += 1
    try:
        yield
    finally:
        with _Pace.lock:
            _Pace.users -= 1
            if _Pace.users == 0:
                sys.setswitchinterval(_Pace.usual)


class Background:
    """Threads that compile what is submitted, so many that they and the one that emits have a processor each.

    They end when nothing is left to do; :meth:`finish` does its share and waits for them.
    """

    def __init__(self, target: Target, processors: int) -> None:
        self._target, self._limit = target, max(1, processors - 1)
        self._waiting: deque[tuple[int, ir.Module]] = deque()
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._running = self._submitted = 0
        self._done: dict[int, bytes] = {}
        self._errors: list[BaseException] = []

    def submit(self, module: ir.Module) -> None:
        """Compile a module, which no longer changes."""
        with self._lock:
            self._waiting.append((self._submitted, module))
            self._submitted += 1
            if self._running == self._limit:
                return
            self._running += 1
        thread = threading.Thread(target=self._work, name="chainrule-compile", daemon=True)
        self._threads.append(thread)
        thread.start()

    def finish(self, last: ir.Module) -> list[bytes]:
        """The machine code of all modules and of ``last``, in their order."""
        code = compile_module(last, self._target)
        with self._lock:
            self._running += 1
        self._work()
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]
        return [*(self._done[k] for k in range(self._submitted)), code]

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or self._errors:
                    self._running -= 1
                    return
                number, module = self._waiting.popleft()
            try:
                self._done[number] = compile_module(module, self._target)
            except BaseException as error:  # for the caller
                self._errors.append(error)
