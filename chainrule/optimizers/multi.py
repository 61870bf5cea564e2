"""Several optimizers for the parts of one model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, NamedTuple

import numpy as np

from chainrule.configuration import Configured
from chainrule.errors import ArgumentError
from chainrule.optimizers.base import Optimizer, State
from chainrule.optimizers.layout import Layout


class Path(NamedTuple):
    """What a function that chooses an optimizer gets: the name of a parameter array, such as ``dense/kernel``."""

    path: str
    shape: tuple[int, ...]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]


class OptimizerMap(Configured, MutableMapping[str, Optimizer]):
    """Optimizers by the names of weights, or by regular expressions that match whole names.

    Args:
        default_optimizer: for what no entry matches.
        optimizer_map: the entries.

    Example:
        >>> chosen = OptimizerMap(SGD(0.1), {"dense.*": Adam(0.01)})
        >>> chosen["dense_1/kernel"].name, chosen["conv2d/kernel"].name
        ('adam', 'sgd')
    """

    kind = "optimizer map"

    def __init__(self, default_optimizer: Optimizer, optimizer_map: dict[str, Optimizer] | None = None) -> None:
        self.default_optimizer = _checked(default_optimizer)
        self.entries: dict[str, Optimizer] = {}
        for name, optimizer in (optimizer_map or {}).items():
            self[name] = optimizer

    def _now(self) -> dict[str, Any]:
        return {"optimizer_map": self.entries}

    def __setitem__(self, key: str, optimizer: Optimizer) -> None:
        if key in self.entries:
            raise ArgumentError.of(f"{key!r} has an optimizer already, {self.entries[key]!r}", "one for each key",
                                   f"del optimizer_map[{key!r}]")
        self.entries[key] = _checked(optimizer)

    def __getitem__(self, key: str) -> Optimizer:
        if key in self.entries:
            return self.entries[key]
        found = [pattern for pattern in self.entries if re.fullmatch(pattern, key)]
        if len(found) > 1:
            raise ArgumentError.of(f"the weight {key!r} matches {' and '.join(map(repr, found))}", "one of the entries",
                                   f"optimizer_map[{key!r}] = SGD(0.01)")
        return self.entries[found[0]] if found else self.default_optimizer

    def __delitem__(self, key: str) -> None:
        del self.entries[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"OptimizerMap({self.default_optimizer!r}, {self.entries!r})"


class MultiOptimizer(Optimizer):
    """Each parameter array is trained by the optimizer that is chosen for it.

    Args:
        optimizer_map: an :class:`OptimizerMap`, or a function that gives the optimizer for a weight's ``path`` and
            ``shape``.
        loss_scale_factor: the loss is multiplied, the gradients divided by it; those of the parts do not count.
        name: of the optimizer.

    ``learning_rate`` is a factor of the rates of all parts, 1 at first; these themselves are compiled in, and another
    rate of a part makes ``fit`` compile its programs anew. Clipping and the like are options of the parts.

    Example:
        >>> rule = MultiOptimizer(OptimizerMap(SGD(0.5), {".*bias": SGD(0.1)}))
        >>> layout = Layout(["dense/kernel", "dense/bias"], [(2,), (1,)])
        >>> rule.update(np.ones(3), np.ones(3), rule.init(np.ones(3), layout), 1.0, 0, layout)[0]
        array([0.5, 0.5, 0.9])
    """

    options_taken = ("loss_scale_factor", "name")

    def __init__(self, optimizer_map: OptimizerMap | Callable[[Any], Optimizer],
                 loss_scale_factor: float | None = None, name: str | None = None) -> None:
        if not isinstance(optimizer_map, OptimizerMap) and not callable(optimizer_map):
            raise ArgumentError.of(f"MultiOptimizer got {optimizer_map!r}", "an OptimizerMap, or a function",
                                   "MultiOptimizer(OptimizerMap(SGD(0.1), {'dense.*': Adam(0.01)}))")
        super().__init__(1.0, loss_scale_factor=loss_scale_factor, name=name)
        self.optimizer_map = optimizer_map
        self._groups: list[tuple[Optimizer, list[int]]] = []  # of the layout that init got first
        self._sizes: list[int] = []

    @property
    def optimizers(self) -> list[Optimizer]:
        """Those of the parts, each once."""
        if isinstance(self.optimizer_map, OptimizerMap):
            every = [self.optimizer_map.default_optimizer, *self.optimizer_map.entries.values()]
            return list(dict.fromkeys(every))
        return [optimizer for optimizer, _ in self._groups]

    @property
    def key(self) -> tuple[Any, ...]:
        """Of all parts: with their rates, which are compiled in."""
        return (super().key, *((o.key, o.learning_rate if o.schedule is None else None) for o in self.optimizers))

    def grouped(self, layout: Layout) -> list[tuple[Optimizer, list[int]]]:
        """The optimizers with the places of their arrays in the layout."""
        chosen: dict[Optimizer, list[int]] = {}
        for i, (name, shape) in enumerate(zip(layout.names, layout.shapes, strict=True)):
            found = self.optimizer_map[name] if isinstance(self.optimizer_map, OptimizerMap) else _checked(
                self.optimizer_map(Path(name, shape)))
            chosen.setdefault(found, []).append(i)
        return list(chosen.items())

    def init(self, params: Any, layout: Layout | None = None) -> State:
        """The states of all parts."""
        layout = layout or Layout.of(params)
        if self._sizes != layout.sizes:
            self._groups, self._sizes = self.grouped(layout), layout.sizes
        parts = layout.split(params)
        return {f"part_{k}": optimizer.init(*_picked(layout, parts, places))
                for k, (optimizer, places) in enumerate(self._groups)}

    def update(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any = 0,
               layout: Layout | None = None) -> tuple[Any, State]:
        """One step of each part."""
        layout = layout or Layout.of(params)
        weights, slopes = layout.split(params), layout.split(grads)
        moved, after = list(weights), {}
        for k, (optimizer, places) in enumerate(self._groups):
            flat, own = _picked(layout, weights, places)
            rate = learning_rate * optimizer.learning_rate if optimizer.schedule is None else learning_rate
            new, after[f"part_{k}"] = optimizer.update(flat, _picked(layout, slopes, places)[0], state[f"part_{k}"],
                                                       rate, step, own)
            for i, value in zip(places, own.split(new), strict=True):
                moved[i] = value
        return layout.join(moved), after

    def finalize(self, params: np.ndarray, state: State) -> None:
        """As the parts say."""
        sizes = self._sizes
        ends = np.cumsum(sizes)
        for k, (optimizer, places) in enumerate(self._groups):
            spans = [slice(ends[i] - sizes[i], ends[i]) for i in places]
            flat = np.concatenate([params[span] for span in spans])
            optimizer.finalize(flat, state[f"part_{k}"])
            begin = 0
            for i, span in zip(places, spans, strict=True):
                params[span] = flat[begin:begin + sizes[i]]
                begin += sizes[i]

    def __repr__(self) -> str:
        return f"MultiOptimizer({', '.join(map(repr, self.optimizers))})"


def _picked(layout: Layout, parts: list[Any], places: list[int]) -> tuple[Any, Layout]:
    """The arrays at some places as one vector, and its layout."""
    own = Layout([layout.names[i] for i in places], [layout.shapes[i] for i in places],
                 [layout.weights[i] for i in places] if layout.weights else ())
    return own.join([parts[i] for i in places]), own


def _checked(optimizer: Any) -> Optimizer:
    if not isinstance(optimizer, Optimizer) or optimizer.evaluates or not optimizer.uses_gradient:
        raise ArgumentError.of(f"got {optimizer!r}", "an optimizer that uses gradients", "Adam(0.001)")
    optimizer.loss_scale_factor = None
    return optimizer


__all__ = ["MultiOptimizer", "OptimizerMap"]
