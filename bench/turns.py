"""Processes that take turns: each trains for a moment whenever it is asked to.

What other tenants of a machine do changes within seconds, and by more than what is compared. Slices in turn meet the
same. A process that waits has nothing to do.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

Train = Callable[[int], list[float]]


class Work(Protocol):
    """What is trained: an epoch is so many steps."""

    @property
    def steps(self) -> int: ...


class Ended(Exception):
    """The process is gone; holds the last line it wrote to standard error."""


class Runner:
    """A process that answers each line it gets with a line of JSON; what else it writes does not count."""

    def __init__(self, command: Sequence[str], environment: dict[str, str], folder: Path) -> None:
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([sys.executable, *command], env=environment, cwd=folder, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)

    def ask(self, question: Any) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(question) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self.gone() from None
        for line in self.process.stdout:
            if line.startswith('{"answer"'):
                return json.loads(line)["answer"]
        raise self.gone()

    def gone(self) -> Ended:
        status = self.process.wait()
        self.errors.seek(0)
        return Ended((self.errors.read().strip().splitlines() or [f"exit status {status}"])[-1])

    def end(self) -> None:
        """Let the process end."""
        self.process.communicate()
        self.errors.close()


@contextmanager
def running(start: dict[str, Callable[[], Runner]]) -> Iterator[dict[str, Runner]]:
    """The processes, and their end."""
    found = {name: begin() for name, begin in start.items()}
    try:
        yield found
    finally:
        for runner in found.values():
            runner.end()


def serve(build: Callable[[str], tuple[Work, Train]]) -> None:
    """Answer the questions of :func:`in_turn` until there are no more; ``build`` gives what a workload's name means."""
    known: tuple[Work, Train, int] | None = None
    name, first = "", 0.0
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            if asked["workload"] != name or known is None:
                known, name = None, asked["workload"]
                work, train = build(name)
                first = train(1)[0]
                known = work, train, epochs_of(train, asked["seconds"])
                answer: dict[str, Any] = {"first": first}
            else:
                work, train, epochs = known
                elapsed, losses = timed(train, epochs)
                answer = {"step": elapsed / (epochs * work.steps), "loss": [first, losses[-1]]}
        except Exception as error:  # a workload that a peer cannot do is a word in its table, not the end of all
            answer = {"failed": f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:100]}"}
        print(json.dumps({"answer": answer}), flush=True)


def epochs_of(train: Train, seconds: float) -> int:
    """Number of epochs that take about ``seconds``."""
    epochs = 1
    elapsed, _ = timed(train, epochs)
    while elapsed < seconds / 4:  # a short run says little about a long one
        epochs *= 4
        elapsed, _ = timed(train, epochs)
    return max(1, round(epochs * seconds / elapsed))


def timed(train: Train, epochs: int) -> tuple[float, list[float]]:
    start = time.perf_counter()
    losses = train(epochs)
    return time.perf_counter() - start, losses


def in_turn(runners: dict[str, Runner], workload: str, seconds: float, rounds: int) -> dict[str, dict]:
    """What each process reports of a workload after so many rounds of slices of about ``seconds``, in turn.

    ``step_seconds`` of each round and the first and last ``loss``; or why it ``failed``.
    """
    question = {"workload": workload, "seconds": seconds}
    found: dict[str, dict] = {}
    for name, runner in runners.items():
        answer = _asked(runner, question)
        found[name] = answer if "failed" in answer else {"step_seconds": [], "loss": []}
    for turn in range(rounds):
        order = list(runners) if turn % 2 == 0 else list(runners)[::-1]
        for name in order:
            if "failed" in found[name]:
                continue
            answer = _asked(runners[name], question)
            if "failed" in answer:
                found[name] = answer
            else:
                found[name]["step_seconds"].append(answer["step"])
                found[name]["loss"] = answer["loss"]
    return found


def _asked(runner: Runner, question: dict[str, Any]) -> dict[str, Any]:
    try:
        return runner.ask(question)
    except Ended as end:
        return {"failed": str(end)}
