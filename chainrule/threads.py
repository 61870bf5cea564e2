"""The threads that compiled programs share: how many there are, when they start, and when they end.

The native code is ``llvm/pool.py``. Workers are Python threads that enter it and stay there, without the interpreter's
lock. They start with the first call of a program that has work for several threads, end before the process forks and
at its exit, and start again when they are needed.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import math
import operator
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.lazy import lazy
from chainrule.llvm.jit import Loaded, host, kept_code
from chainrule.tracebacks import public

native = lazy("chainrule.llvm.pool")
MOST = 1024  # threads
_PATIENCE = 1.0  # seconds that a fork or the process's exit waits for a statement that other threads are running
_CPUS, _GROUPS = Path("/sys/devices/system/cpu"), Path("/sys/fs/cgroup")


def _quota() -> float:
    """Processors' worth of time that a Linux control group (a container) may use."""
    with contextlib.suppress(OSError, ValueError):
        limit, period = (_GROUPS / "cpu.max").read_text().split()
        return math.inf if limit == "max" else int(limit) / int(period)
    with contextlib.suppress(OSError, ValueError):
        limit, period = ((_GROUPS / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(limit) / int(period) if int(limit) > 0 else math.inf
    return math.inf


def cores() -> int:
    """The physical cores that this process may run on; logical ones where the system does not tell them apart."""
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    found = set()
    for cpu in allowed:
        try:
            found.add((_CPUS / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text())
        except OSError:
            found.add(str(cpu))
    return max(1, min(len(found), MOST, math.ceil(min(_quota(), MOST))))


def _aligned(size: int, to: int) -> tuple[np.ndarray, int]:
    """Memory, and the aligned address in it from which on ``size`` bytes are there."""
    raw = np.zeros(size + to, np.uint8)
    return raw, raw.ctypes.data + -raw.ctypes.data % to


_new_lock = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyThread_allocate_lock", ctypes.pythonapi))
_take_lock = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int)(("PyThread_acquire_lock", ctypes.pythonapi))


class Pool:
    """The native pool and its workers. ``live`` says that they run as :func:`set_threads` and :meth:`reserve` want."""

    def __init__(self) -> None:
        code = kept_code("pool", host(), lambda: native.emit_pool(host().triple))
        self._loaded = Loaded(code, host(), native.FUNCTIONS)
        self._memory, self.address = _aligned(native.size(MOST), native.LINE)
        self._work = self._function("work", None, ctypes.c_void_p, ctypes.c_int64)
        self._stop = self._function("stop", None, ctypes.c_void_p, ctypes.c_int64)
        self._acquire = self._function("acquire", ctypes.c_int64, ctypes.c_void_p)
        self._release = self._function("release", None, ctypes.c_void_p)
        self._closed = False
        self._size = 0  # bytes of each worker's scratch memory
        self._reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._before_fork, after_in_parent=self._after_fork, after_in_child=self._reset)
        atexit.register(self.close)

    def _function(self, name: str, result: type | None, *arguments: type) -> Callable[..., Any]:
        return ctypes.CFUNCTYPE(result, *arguments)(self._loaded.address(name))

    def _reset(self) -> None:
        """As new: no workers. So it is in the child of a fork."""
        self.live = False
        self._lock = threading.RLock()
        self._memory[:] = 0
        self._workers: list[threading.Thread] = []
        self._scratch: list[np.ndarray] = []
        self._python_locks = 0
        self._word(native.DISPATCH).value = self._loaded.address("dispatch")
        for offset, name in ((native.SLEEP, "PyThread_acquire_lock"), (native.WAKE, "PyThread_release_lock")):
            self._word(offset).value = ctypes.cast(getattr(ctypes.pythonapi, name), ctypes.c_void_p).value or 0
        self._word(native.COUNT).value = 1

    def _word(self, offset: int, thread: int | None = None) -> ctypes.c_int64:
        line = 0 if thread is None else native.FIRST + native.LINE * thread
        return ctypes.c_int64.from_address(self.address + line + offset)

    @contextmanager
    def _idle(self, patience: float = math.inf) -> Iterator[bool]:
        """While no job runs; False if ``patience`` seconds were not enough to come to that."""
        end = time.monotonic() + patience
        while not (got := bool(self._acquire(self.address))) and time.monotonic() < end:
            time.sleep(0.0002)
        try:
            yield got
        finally:
            if got:
                self._release(self.address)

    def reserve(self, size: int) -> None:
        """See to it that every worker has so many bytes of scratch memory."""
        with self._lock:
            if size > self._size:
                self._size, self.live = size, False

    def start(self) -> None:
        """Bring workers and their memory to what is wanted."""
        with self._lock:
            if self.live:
                return
            wanted = 1 if self._closed else get_threads()
            with self._idle():
                self._scratch = []
                for k in range(1, wanted):
                    memory, address = _aligned(self._size, native.LINE)
                    self._scratch.append(memory)
                    self._word(native.SCRATCH, k).value = address
                while self._python_locks < wanted:
                    lock = _new_lock()
                    _take_lock(lock, 1)
                    self._word(native.LOCK, self._python_locks).value = lock
                    self._python_locks += 1
                self._word(native.COUNT).value = self._more_workers(wanted)
            self.live = True

    def _more_workers(self, threads: int) -> int:
        """Start workers until there are so many threads, or as many as the system lets us have."""
        for k in range(len(self._workers) + 1, threads):
            self._word(native.STOP, k).value = 0
            worker = threading.Thread(target=self._work, args=(self.address, k), name=f"chainrule-{k}", daemon=True)
            try:
                worker.start()
            except RuntimeError:  # a limit of the system, or the interpreter is about to end
                break
            self._workers.append(worker)
        return min(threads, len(self._workers) + 1)

    def stop(self, patience: float = math.inf) -> None:
        """End all workers; the next call that has work for them starts them again."""
        with self._lock:
            with self._idle(patience) as idle:
                if not idle:
                    return
                self._word(native.COUNT).value = 1
                self.live = False
            for k in range(1, len(self._workers) + 1):
                self._stop(self.address, k)
            for worker in self._workers:
                worker.join()
            self._workers = []

    def close(self) -> None:
        """End all workers for good: the interpreter is about to end."""
        self._closed = True
        self.stop(_PATIENCE)

    def _before_fork(self) -> None:
        self._lock.acquire()
        self.stop(_PATIENCE)

    def _after_fork(self) -> None:
        self._lock.release()


class _State:
    wanted: int | None = None  # what set_threads was told
    default: int | None = None
    pool: Pool | None = None
    making = threading.Lock()


def shared_pool() -> Pool:
    """The pool of this process."""
    with _State.making:
        if _State.pool is None:
            _State.pool = Pool()
        return _State.pool


def get_threads() -> int:
    """How many threads compiled programs use.

    Example:
        >>> import chainrule as cr
        >>> cr.get_threads() >= 1
        True
    """
    if _State.wanted is not None:
        return _State.wanted
    if _State.default is None:
        _State.default = cores()
    return _State.default


@public
def set_threads(n: int | None) -> None:
    """Let compiled programs use ``n`` threads, the calling one among them; None: as many as there are cores.

    In the beginning it is the physical cores that the process may run on. Results are the same, bit by bit, for any
    number. Only statements with enough work are shared out; where several Python threads call compiled programs at the
    same time, one of them has the help of the other threads at a time.

    Args:
        n: from 1 to 1024.

    Raises:
        ArgumentError: for anything else.

    Example:
        >>> import chainrule as cr
        >>> cr.set_threads(1)
        >>> cr.get_threads()
        1
        >>> cr.set_threads(None)
    """
    if n is not None:
        try:
            count = operator.index(n)
        except TypeError:
            count = 0
        if isinstance(n, bool | np.bool_) or not 1 <= count <= MOST:
            raise ArgumentError.of(f"set_threads({n!r})", f"a whole number from 1 to {MOST}, or None for all cores",
                                   f"cr.set_threads({_default()})")
        n = count
    _State.wanted = n
    if _State.pool is not None:
        _State.pool.stop()


def _default() -> int:
    return _State.default if _State.default is not None else cores()


__all__ = ["Pool", "cores", "get_threads", "set_threads", "shared_pool"]
