"""Layers around layers: a sequence in both directions, a layer for every step."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule.errors import ArgumentError, ShapeError
from chainrule.layers.base import Layer, Shape
from chainrule.layers.recurrent import MERGES, Recurrent
from chainrule.numpy.common import reshaped


class Bidirectional(Layer):
    """Two recurrent layers over the same sequence, one from each end.

    Args:
        layer: the recurrent layer to make both of, with weights of their own.
        merge_mode: what becomes of the two outputs: ``'concat'``, ``'sum'``, ``'mul'``, ``'ave'``; None gives both.
        backward_layer: a layer of its own for the way back, made with ``go_backwards=True``.
        options: those of every :class:`Layer`.

    With ``return_sequences`` the outputs of both ways stand at the step that they belong to, and masked steps are 0.
    With ``return_state`` the states of both follow the output.

    Example:
        >>> Bidirectional(LSTM(4, return_sequences=True))(np.zeros((2, 5, 3))).shape
        (2, 5, 8)

    Source: Schuster and Paliwal, "Bidirectional recurrent neural networks", IEEE Transactions on Signal Processing
    1997.
    """

    def __init__(self, layer: Recurrent, merge_mode: str | None = "concat", backward_layer: Recurrent | None = None,
                 **options: Any) -> None:
        super().__init__(**options)
        given = [layer, *([] if backward_layer is None else [backward_layer])]
        if not all(isinstance(each, Recurrent) for each in given):
            raise ArgumentError.of(f"Bidirectional got {' and '.join(map(repr, given))}", "recurrent layers",
                                   "Bidirectional(LSTM(64))")
        if merge_mode not in MERGES:
            raise ArgumentError.of(f"Bidirectional got merge_mode={merge_mode!r}", f"one of {list(MERGES)}",
                                   "merge_mode='concat'")
        self.merge_mode = merge_mode
        self.forward_layer = _like(layer, "forward")
        self.backward_layer = backward_layer or _like(layer, "backward", go_backwards=True)
        alike = ("stateful", "return_sequences", "return_state")
        if self.forward_layer.go_backwards or not self.backward_layer.go_backwards or any(
                getattr(self.forward_layer, name) != getattr(self.backward_layer, name) for name in alike):
            raise ArgumentError.of(f"Bidirectional got {layer!r} and {self.backward_layer!r}",
                                   f"one layer with go_backwards=True, the other without; both with equal {alike}",
                                   "Bidirectional(LSTM(64), backward_layer=LSTM(64, go_backwards=True))")
        for each in (self.forward_layer, self.backward_layer):
            each.zero_output_for_mask = each.return_sequences

    def build(self, input_shape: Shape) -> None:
        """Build both."""
        self.forward_layer.ensure_built(input_shape)
        self.backward_layer.ensure_built(input_shape)

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        """Both outputs, merged; with ``return_state`` the states as well."""
        half = 0 if initial_state is None else len(initial_state) // 2
        states = (None, None) if initial_state is None else (initial_state[:half], initial_state[half:])
        results = [layer(sequences, **({} if state is None else {"initial_state": state}), mask=mask, training=training)
                   for layer, state in zip((self.forward_layer, self.backward_layer), states, strict=True)]
        (y, *first), (back, *second) = (r if isinstance(r, tuple) else (r,) for r in results)
        if self.forward_layer.return_sequences:
            back = np.flip(back, 1)
        out = MERGES[self.merge_mode](y, back)
        if not self.forward_layer.return_state:
            return out
        return (*out, *first, *second) if self.merge_mode is None else (out, *first, *second)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """That of the steps, if they are returned."""
        mask = previous_mask if self.forward_layer.return_sequences else None
        outputs = [mask] * (2 if self.merge_mode is None else 1)
        states = 2 * self.forward_layer.state_count if self.forward_layer.return_state else 0
        return [*outputs, *[None] * states] if len(outputs) + states > 1 else mask

    def reset_state(self) -> None:
        """Begin the next batch of stateful layers with zeros."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    def describe(self) -> str:
        """The layer."""
        return repr(self.forward_layer)


def _like(layer: Recurrent, way: str, **changed: Any) -> Any:
    """A layer with the arguments of another one, and weights of its own."""
    config = {**layer.get_config(), **changed}
    config["name"] = f"{way}_{layer.name.removeprefix(f'{way}_')}"
    return type(layer).from_config(config)


class TimeDistributed(Layer):
    """A layer applied to every step of a sequence, with the same weights.

    All steps of all samples are one batch to the layer.

    Args:
        layer: what is applied to ``(batch * steps, …)``.
        options: those of every :class:`Layer`.

    Shapes: ``(batch, steps, …)`` to ``(batch, steps, …)``.

    Example:
        >>> TimeDistributed(Conv2D(4, 3))(np.zeros((2, 5, 8, 8, 1))).shape
        (2, 5, 6, 6, 4)
    """

    supports_masking = True

    def __init__(self, layer: Layer, **options: Any) -> None:
        super().__init__(**options)
        if not isinstance(layer, Layer):
            raise ArgumentError.of(f"TimeDistributed got {layer!r}", "a layer", "TimeDistributed(Dense(8))")
        self.layer = layer

    def build(self, input_shape: Shape) -> None:
        """Build the layer for one step."""
        if len(input_shape) < 3:
            raise ShapeError.of(f"layer {self.name!r} (TimeDistributed) got an input of shape {input_shape}",
                                "(batch, steps, features …)", "x[..., None]   # one feature")
        self.layer.ensure_built((None, *input_shape[2:]))

    def call(self, x: Any, training: bool = False) -> Any:
        """The results of all steps."""
        batch, steps = x.shape[:2]
        out = self.layer(reshaped(x, (batch * steps, *x.shape[2:])), training=training)
        return reshaped(out, (batch, steps, *out.shape[1:]))

    def describe(self) -> str:
        """The layer."""
        return repr(self.layer)


__all__ = ["Bidirectional", "TimeDistributed"]
