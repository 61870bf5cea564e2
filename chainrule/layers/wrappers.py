"""Layers around layers: a sequence in both directions, a layer for every step."""

from __future__ import annotations

from typing import Any

import numpy as np

from chainrule import initializers
from chainrule.arguments import whole
from chainrule.errors import ArgumentError, ShapeError
from chainrule.layers.base import Layer, Shape, Weight
from chainrule.layers.parts import signature_of
from chainrule.layers.recurrent import MERGES, Loop
from chainrule.numpy.common import reshaped
from chainrule.ops.elementwise import stop_gradient


class Wrapper(Layer):
    """Base of layers around one other layer.

    Args:
        layer: the one inside.
        options: those of every :class:`Layer`.
    """

    def __init__(self, layer: Layer, **options: Any) -> None:
        super().__init__(**options)
        if not isinstance(layer, Layer):
            raise ArgumentError.of(f"{type(self).__name__} got {layer!r}", "a layer",
                                   f"{type(self).__name__}(Dense(8))")
        self.layer = layer

    def build(self, input_shape: Shape = ()) -> None:
        """Build the layer inside."""
        self.layer.ensure_built(input_shape)

    def describe(self) -> str:
        """The layer."""
        return repr(self.layer)


class Bidirectional(Layer):
    """Two recurrent layers over the same sequence, one from each end.

    Args:
        layer: the recurrent layer to make both of, with weights of their own.
        merge_mode: what becomes of the two outputs: ``'concat'``, ``'sum'``, ``'mul'``, ``'ave'``; None gives both.
        weights: arrays to begin with, those of the way forward first.
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

    supports_masking = True

    def __init__(self, layer: Loop, merge_mode: str | None = "concat", weights: Any = None,
                 backward_layer: Loop | None = None, **options: Any) -> None:
        super().__init__(**options)
        given = [layer, *([] if backward_layer is None else [backward_layer])]
        if not all(isinstance(each, Loop) for each in given):
            raise ArgumentError.of(f"Bidirectional got {' and '.join(map(repr, given))}", "recurrent layers",
                                   "Bidirectional(LSTM(64))")
        if merge_mode not in MERGES:
            raise ArgumentError.of(f"Bidirectional got merge_mode={merge_mode!r}", f"one of {list(MERGES)}",
                                   "merge_mode='concat'")
        self.merge_mode = merge_mode
        self.forward_layer = _like(layer, "forward")
        self.backward_layer = backward_layer or _like(layer, "backward", go_backwards=True)
        alike = ("stateful", "return_sequences", "return_state")
        if self.forward_layer.go_backwards == self.backward_layer.go_backwards or any(
                getattr(self.forward_layer, name) != getattr(self.backward_layer, name) for name in alike):
            raise ArgumentError.of(f"Bidirectional got {layer!r} and {self.backward_layer!r}",
                                   f"one layer with go_backwards=True, the other without; both with equal {alike}",
                                   "Bidirectional(LSTM(64), backward_layer=LSTM(64, go_backwards=True))")
        for each in (self.forward_layer, self.backward_layer):
            each.zero_output_for_mask = each.return_sequences
        self.first_weights = weights

    def build(self, input_shape: Shape) -> None:
        """Build both."""
        self.forward_layer.ensure_built(input_shape)
        self.backward_layer.ensure_built(input_shape)
        if self.first_weights is not None:
            self.set_weights(self.first_weights)

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

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """That of the steps, if they are returned."""
        mask = mask if self.forward_layer.return_sequences else None
        outputs = [mask] * (2 if self.merge_mode is None else 1)
        states = 2 * len(self.forward_layer.first_states(1)) if self.forward_layer.return_state else 0
        return [*outputs, *[None] * states] if len(outputs) + states > 1 else mask

    def reset_state(self) -> None:
        """Begin the next batch of stateful layers with zeros."""
        self.forward_layer.reset_state()
        self.backward_layer.reset_state()

    def describe(self) -> str:
        """The layer."""
        return repr(self.forward_layer)


def _like(layer: Loop, way: str, **changed: Any) -> Any:
    """A layer with the arguments of another one, and weights of its own."""
    config = {**layer.get_config(), **changed}
    config["name"] = f"{way}_{layer.name.removeprefix(f'{way}_')}"
    return type(layer).from_config(config)


class TimeDistributed(Wrapper):
    """A layer applied to every step of a sequence, with the same weights.

    All steps of all samples are one batch to the layer. Its mask, if it takes one, is that of the samples' steps.

    Args:
        layer: what is applied to ``(batch * steps, …)``.
        options: those of every :class:`Layer`.

    Shapes: ``(batch, steps, …)`` to ``(batch, steps, …)``.

    Example:
        >>> TimeDistributed(Conv2D(4, 3))(np.zeros((2, 5, 8, 8, 1))).shape
        (2, 5, 6, 6, 4)
    """

    supports_masking = True

    def build(self, input_shape: Shape = ()) -> None:
        """Build the layer for one step."""
        if len(input_shape) < 3:
            raise ShapeError.of(f"layer {self.name!r} (TimeDistributed) got an input of shape {input_shape}",
                                "(batch, steps, features …)", "x[..., None]   # one feature")
        self.layer.ensure_built((None, *input_shape[2:]))

    def call(self, x: Any, training: bool = False, mask: Any = None) -> Any:
        """The results of all steps."""
        batch, steps = x.shape[:2]
        options = {}
        if mask is not None:
            if tuple(mask.shape[:2]) != (batch, steps):
                raise ShapeError.of(f"layer {self.name!r} (TimeDistributed) got a mask of shape {tuple(mask.shape)} "
                                    f"for a batch of shape {tuple(x.shape)}", f"one that begins with {(batch, steps)}",
                                    "mask=np.any(x != 0, axis=-1)")
            if any(name == "mask" for name, *_ in signature_of(self.layer).masks):
                options["mask"] = reshaped(mask, (batch * steps, *mask.shape[2:]))
        out = self.layer(reshaped(x, (batch * steps, *x.shape[2:])), training=training, **options)
        return reshaped(out, (batch, steps, *out.shape[1:]))


class SpectralNormalization(Wrapper):
    """A layer whose kernel, while training, is divided by its largest singular value.

    That is found by power iteration, whose vector is kept from step to step; in the step's gradient it is a constant.

    Args:
        layer: one with a ``kernel`` or ``embeddings``.
        power_iterations: how many turns of the iteration each step makes.
        options: those of every :class:`Layer`.

    Where a layer is called by itself, not by ``fit``, the divided kernel stays, as in Keras.

    Example:
        >>> layer = SpectralNormalization(Dense(2), power_iterations=20)
        >>> out = layer(np.ones((1, 3)), training=True)
        >>> bool(abs(np.linalg.norm(layer.layer.kernel, 2) - 1) < 1e-3)
        True

    Source: Miyato, Kataoka, Koyama and Yoshida, "Spectral normalization for generative adversarial networks", ICLR
    2018.
    """

    supports_masking = True

    def __init__(self, layer: Layer, power_iterations: int = 1, **options: Any) -> None:
        super().__init__(layer, **options)
        self.power_iterations = whole("power_iterations", power_iterations)

    def build(self, input_shape: Shape = ()) -> None:
        """Build the layer, and make the vector."""
        super().build(input_shape)
        self.vector_u = self.add_weight((1, self.weight.shape[-1]), initializers.TruncatedNormal(stddev=0.02),
                                        trainable=False)

    @property
    def weight(self) -> Weight:
        """The weight that is divided."""
        for name in ("kernel", "embeddings"):
            if name in self.layer._named:
                return self.layer._named[name]
        raise ArgumentError.of(f"SpectralNormalization got {self.layer!r}", "a layer with a kernel or embeddings",
                               "SpectralNormalization(Dense(8))")

    def call(self, x: Any, training: bool = False) -> Any:
        """What the layer gives."""
        if not training:
            return self.layer(x)
        weight = self.weight
        kernel = self.divided(weight.value)
        before, weight.traced = weight.traced, kernel
        try:
            out = self.layer(x)
        finally:
            weight.traced = before
        if before is None and isinstance(kernel, np.ndarray):
            weight.assign(kernel)
        return out

    def divided(self, kernel: Any) -> Any:
        """The kernel over its largest singular value; the vector takes a step."""
        matrix = np.reshape(kernel, (-1, kernel.shape[-1]))
        fixed, u = stop_gradient(matrix), self.vector_u
        for _ in range(self.power_iterations):
            v = _unit(u @ fixed.T)
            u = _unit(v @ fixed)
        self.vector_u = u
        largest = np.reshape(v @ matrix @ u.T, ())
        return kernel / np.where(largest == 0, np.float32(1), largest)


def _unit(x: Any) -> Any:
    length = np.sqrt(np.sum(np.square(x)))
    return x / np.where(length == 0, np.float32(1), length)


__all__ = ["Bidirectional", "SpectralNormalization", "TimeDistributed", "Wrapper"]
