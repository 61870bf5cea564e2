"""``predict``: outputs for any number of samples, in blocks of batches."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.errors import DataError
from chainrule.layers.weights import Version
from chainrule.models.steps import Steps
from chainrule.tracebacks import public
from chainrule.training import run
from chainrule.training.callbacks import Hooks, checked
from chainrule.training.epoch import own_step, prediction_program
from chainrule.training.feed import Programs
from chainrule.training.progress import duration, verbosity
from chainrule.training.single import Single
from chainrule.training.steps import tried
from chainrule.training.structure import count, samples

_BLOCK = 64  # batches that one native call takes where there are as many


class Predictor(Steps):
    """What predicts; :class:`~chainrule.models.training.Trainer` adds what trains."""

    _single: Single | None
    _tried: int
    _programs: Programs
    steps_per_execution: int

    def adopt(self) -> np.ndarray:
        """The flat vector of all that is trained."""
        raise NotImplementedError

    def _current(self) -> tuple[np.ndarray, list[np.ndarray]]:
        raise NotImplementedError

    def _samples(self, x: Any, name: str = "x", at: np.ndarray | None = None) -> Any:
        raise NotImplementedError

    @public
    def predict(self, x: Any, batch_size: int | None = None, verbose: int | str = 0, steps: int | None = None,
                callbacks: Any = None) -> np.ndarray:
        """The outputs for all samples, as a float32 array.

        Args:
            x: samples, as in :meth:`fit`; batches may hold targets, which are left out.
            batch_size: samples computed at a time; but for rounding the outputs do not depend on it.
            verbose: 1 prints how long it took.
            steps: batches to compute; None for all.
            callbacks: called before and after.
        """
        if callbacks:
            calls = checked(callbacks)
            hooks = Hooks(calls, "predict_batch", self.steps_per_execution)
            run.tell(self, calls, "on_predict_begin", {})
            out = self._predict(x, batch_size, verbose, steps, hooks if hooks else None)
            run.tell(self, calls, "on_predict_end", {})
            return out
        if self._single is not None and type(x) is np.ndarray and batch_size is None and verbose == 0:
            quick = self._single(x)
            if quick is not None:
                return quick
        return self._predict(x, batch_size, verbose, steps)

    @public
    def predict_on_batch(self, x: Any) -> Any:
        """The outputs for all the samples, computed at once."""
        x = self.asked(x)
        return self._predicted(x, count(x))

    def _predict(self, x: Any, batch_size: int | None, verbose: int | str, steps: int | None,
                 hooks: Hooks | None = None) -> Any:
        level = 0 if verbose == "auto" else verbosity(verbose)
        begin = time.perf_counter()
        parts = None if type(x) is np.ndarray else run.blocks(self, x, batch_size, steps)
        batch = run.size(batch_size)
        if parts is None:
            x = self.asked(x)
            if batch_size is None and count(x) == 1 and isinstance(x, np.ndarray) and hooks is None:
                return self._predicted_alone(x)
            if steps is not None:
                x = tree.map_leaves(lambda a: a[:steps * batch], x)
            out = self._predicted(x, batch, hooks)
        else:
            made, at = [], 0
            for part, own in parts if hooks is not None else _in_blocks(parts):
                made.append(self._predicted(part, own, hooks, at))
                at += -(-count(part) // own)
            if not made:
                raise DataError.of("the data gave no batch", "at least one", "yield x")
            out = tree.map_leaves(lambda *each: np.concatenate(each), *made)
        if level:
            print(f"{count(out)} samples - {duration(time.perf_counter() - begin)}")
        return out

    def _predicted_alone(self, x: np.ndarray) -> Any:
        """The prediction of one row, prepared so that the next one is quick."""
        bases = [(w.array, w.array.base) for w in self.arranged()[0]]
        if all(base is None or base.nbytes == a.nbytes for a, base in bases):  # no other model has them in its vector
            self.adopt()
        self._single = Single(self, x)
        if not self._single.usable:
            self._single = None
            return self._predicted(x, 1)
        out = self._single(x)
        return self._predicted(x, 1) if out is None else out

    def _predicted(self, x: Any, batch: int, hooks: Hooks | None = None, begun: int = 0) -> Any:
        # Programs for one batch and for a block of batches serve any number of samples
        leaves, structure = tree.flatten(x)
        parts, at, n = [], 0, len(leaves[0])
        while at < n:
            steps = _BLOCK if hooks is None and n - at >= _BLOCK * batch else 1
            if hooks is not None:
                hooks.begin(begun + at // batch)
            taken = [_rows(leaf, at, steps, batch) for leaf in leaves]
            program = self._programs.get(("predict", batch, steps), partial(prediction_program, self, steps))
            out, after = program(self._current(), tree.unflatten(structure, taken))
            for weight, value in zip(self.arranged()[1], after, strict=True):
                if value is not None:
                    weight.array[...] = value
            parts.append(tree.map_leaves(lambda a: a.reshape(-1, *a.shape[2:])[:n - at], out))  # noqa: B023
            if hooks is not None:
                hooks.end(begun + at // batch, {"outputs": parts[-1]})
            at += steps * batch
        return parts[0] if len(parts) == 1 else tree.map_leaves(lambda *each: np.concatenate(each), *parts)

    def asked(self, x: Any, at: np.ndarray | None = None) -> Any:
        """Samples as ``predict`` takes them; with a ``predict_step`` of the model's own any structure of them."""
        if not own_step(self, "predict_step"):
            return self._samples(x, at=at)
        x = samples(x, None, "x", at)
        if self._tried != Version.now:  # builds the layers that the step calls
            tried(self, x)
            self._tried = Version.now
        return x


def _in_blocks(parts: Iterable[tuple[Any, int]]) -> Iterator[tuple[Any, int]]:
    """What was read, cut into whole blocks however much had been read at a time: so always the same programs run."""
    kept: tuple[Any, int] | None = None
    for part, own in parts:
        if kept is not None and (count(part) % own or own != kept[1]):  # an odd batch stays a batch
            yield kept
            kept = None
        rows = part if kept is None else tree.map_leaves(lambda *each: np.concatenate(each), kept[0], part)
        whole = count(rows) // (_BLOCK * own) * _BLOCK * own
        if whole:
            yield tree.map_leaves(lambda a: a[:whole], rows), own  # noqa: B023
        kept = None if whole == count(rows) else (tree.map_leaves(lambda a: a[whole:].copy(), rows), own)  # noqa: B023
        if kept is not None and count(part) % own:
            yield kept
            kept = None
    if kept is not None:
        yield kept


def _rows(a: np.ndarray, at: int, steps: int, batch: int) -> np.ndarray:
    """Rows from ``at`` on, by batches; a batch that is short is filled up with its last row."""
    rows = a[at:at + steps * batch]
    if len(rows) < batch:
        rows = np.concatenate([rows, np.repeat(rows[-1:], batch - len(rows), axis=0)])
    return rows.reshape(steps, batch, *a.shape[1:])


__all__ = ["Predictor"]
