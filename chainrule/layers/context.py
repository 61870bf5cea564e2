"""What all layers share while one of them, the outermost, is called: training or not, random keys, masks, losses."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from chainrule import random, tree
from chainrule.ops.declare import Traced


class Call:
    """One call of the outermost layer.

    Args:
        training: whether layers behave as in training.
        key: gives the key of random numbers when it is first asked for.
        step: the number of the training step, for layers with a seed of their own; None outside of training.
        trial: only shapes are wanted: state stays as it is.
        unknown: with ``trial``, whether numbers stand for extents that are not known.
        batch: with ``trial``, the number of rows, where it is known.
        several: whether layers are called one after the other, each with losses of its own (``layer.losses``), as in a
            ``train_step``.
    """

    def __init__(self, training: bool = False, key: Callable[[], Any] = random.key, step: Any = None,
                 trial: bool = False, unknown: bool = False, batch: int | None = None, several: bool = False) -> None:
        self.training, self.step, self.trial, self.several = training, step, trial, several
        self.unknown, self.batch = unknown, batch
        self.losses: list[Any] = []
        self.called: list[Any] = []  # the layers that hold losses of this call
        self.depth = 0  # how many layers are being called, one in the other
        self._make_key, self._key, self._drawn = key, None, 0
        self._masks: dict[int, tuple[Any, Any]] = {}

    def next_key(self) -> Any:
        """A key that no other layer of this call gets."""
        if self._key is None:
            self._key = self._make_key()
        self._drawn += 1
        return random.fold_in(self._key, self._drawn - 1)

    def set_mask(self, x: Any, mask: Any) -> None:
        """Attach a mask to an array."""
        self._masks[_identity(x)] = x, mask  # keeps the array, so that its identity stays its own

    def mask(self, x: Any) -> Any:
        """The mask of an array, or a container of those of several; None for none."""
        if not self._masks and not _CARRIED:
            return None
        leaves, structure = tree.flatten(x)
        found = [self._masks.get(_identity(leaf), (None, None))[1] for leaf in leaves]
        if _CARRIED:
            found = [carried_mask(leaf) if m is None else m for leaf, m in zip(leaves, found, strict=True)]
        if all(m is None for m in found):
            return None
        return found[0] if len(found) == 1 and leaves[0] is x else tree.unflatten(structure, found)


# Masks of arrays that a layer gave to whoever called it, for the next layer that is called with them
_CARRIED: dict[int, tuple[Any, Any]] = {}


def carry_mask(x: Any, mask: Any) -> None:
    """Attach a mask to an array, as long as that lives."""
    home = x.node if isinstance(x, Traced) else x
    number = id(home)
    _CARRIED[number] = weakref.ref(home, lambda _: _CARRIED.pop(number, None)), mask


def carried_mask(x: Any) -> Any:
    """The mask that an array carries; None for none."""
    found = _CARRIED.get(_identity(x))
    return None if found is None else found[1]


def _identity(x: Any) -> int:
    return id(x.node) if isinstance(x, Traced) else id(x)


CALL: ContextVar[Call | None] = ContextVar("call", default=None)  # None: no layer is being called


@contextmanager
def calling(call: Call) -> Iterator[Call]:
    """Layers that are called in here belong to ``call``."""
    token = CALL.set(call)
    try:
        yield call
    finally:
        CALL.reset(token)
