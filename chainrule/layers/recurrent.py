"""Recurrent layers: a sequence through one cell, forward or backward, with masks and states that stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule import activations, constraints, initializers, nn, regularizers
from chainrule.arguments import share, whole
from chainrule.errors import ArgumentError, ShapeError
from chainrule.layers.base import FLOAT, Shape
from chainrule.layers.context import CALL
from chainrule.layers.kernel import KernelLayer
from chainrule.nn.stochastic import dropout


class Recurrent(KernelLayer):
    """What the recurrent layers share.

    Args:
        units: the extent of the state.
        activation: of the candidate; a name or a function of an array; None for none.
        use_bias: whether there is a bias.
        recurrent_initializer: of the recurrent kernel.
        recurrent_regularizer: a function of the recurrent kernel whose result is added to the loss.
        recurrent_constraint: a function applied to the recurrent kernel after each training step.
        dropout: the share of the features to drop while training; the same in all steps.
        recurrent_dropout: the share of the state's elements to drop where it meets the recurrent kernel; the same in
            all steps, another choice for each gate.
        seed: a seed of this layer's own, for both.
        return_sequences: whether the output is the states after all steps; else that after the last one.
        return_state: whether to return ``(output, *states)``.
        go_backwards: begin with the last step; the states come in the order of computation.
        stateful: begin with the states that the batch before ended with. Needs ``batch_size``.
        batch_size: rows of a batch, for ``stateful``.
        zero_output_for_mask: whether the output of a step that is masked is 0; else it is the state, which stays.
        unroll: accepted, and without effect: the loop is native code.
        options: ``kernel_initializer`` and the others of :class:`KernelLayer`.

    Called with ``(batch, steps, features)``, and:
        initial_state: the states to begin with, a list of ``(batch, units)``.
        mask: bools ``(batch, steps)``; a step that is False leaves the states as they are.
    """

    gates, state_count = 1, 1
    fixed_axes = (-1,)
    input_dtype = FLOAT

    def __init__(self, units: int, activation: Any = "tanh", use_bias: bool = True,
                 recurrent_initializer: Any = "orthogonal", recurrent_regularizer: Any = None,
                 recurrent_constraint: Any = None, dropout: float = 0.0, recurrent_dropout: float = 0.0,
                 seed: int | None = None, return_sequences: bool = False, return_state: bool = False,
                 go_backwards: bool = False, stateful: bool = False, batch_size: int | None = None,
                 zero_output_for_mask: bool = False, unroll: bool = False, **options: Any) -> None:
        super().__init__(activation, use_bias, **options)
        self.units = whole("units", units)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.dropout, self.recurrent_dropout = share("dropout", dropout), share("recurrent_dropout", recurrent_dropout)
        self.seed, self.unroll = seed, bool(unroll)
        self.return_sequences, self.return_state = bool(return_sequences), bool(return_state)
        self.go_backwards, self.zero_output_for_mask = bool(go_backwards), bool(zero_output_for_mask)
        self.stateful, self.batch_size = bool(stateful), None if batch_size is None else whole("batch_size", batch_size)
        if self.stateful and self.batch_size is None:
            raise ArgumentError.of(f"layer {self.name!r} got stateful=True without batch_size",
                                   "the number of rows of every batch, for which states are kept",
                                   f"{type(self).__name__}({units}, stateful=True, batch_size=32)")

    # -- weights

    def build(self, input_shape: Shape) -> None:
        """Make kernel ``(features, gates * units)``, recurrent kernel ``(units, gates * units)`` and bias."""
        if len(input_shape) != 3 or input_shape[-1] is None:
            raise ShapeError.of(f"layer {self.name!r} ({type(self).__name__}) got an input of shape {input_shape}",
                                "a batch of sequences, (batch, steps, features)", "x[..., None]   # one feature")
        wide = self.gates * self.units
        self.kernel = self.add_kernel((input_shape[-1], wide))
        self.recurrent_kernel = self.add_weight(
            (self.units, wide), self.recurrent_initializer, regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint)
        if self.use_bias:
            self.bias = self.add_bias(self.bias_shape)
        for k in range(self.state_count if self.stateful else 0):
            setattr(self, f"state_{k}", self.add_weight((self.batch_size or 1, self.units), "zeros", trainable=False))

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """The shape of the bias."""
        return (self.gates * self.units,)

    @property
    def parameters(self) -> tuple[Any, Any, Any]:
        """Kernel, recurrent kernel and bias, None where there is none."""
        return self.kernel, self.recurrent_kernel, self.bias if self.use_bias else None

    # -- states

    def reset_state(self) -> None:
        """Begin the next batch of a stateful layer with zeros."""
        for k in range(self.state_count if self.stateful and self.built else 0):
            setattr(self, f"state_{k}", np.zeros((self.batch_size or 1, self.units), FLOAT))

    def begin(self, given: Any, batch: int) -> list[Any] | None:
        """The states before the first step; None for zeros."""
        if given is not None:
            return list(given) if isinstance(given, list | tuple) else [given]
        call = CALL.get()
        if not self.stateful or call is not None and call.trial and batch != self.batch_size:
            return None
        if batch != self.batch_size:
            raise ShapeError.of(f"layer {self.name!r} (stateful) got a batch of {batch} rows",
                                f"{self.batch_size} rows, for which it keeps states", f"batch_size={self.batch_size}")
        return [getattr(self, f"state_{k}") for k in range(self.state_count)]

    # -- calls

    def cell(self, x: Any, state: Any, **options: Any) -> tuple[Any, Any]:
        """All states, and the last: a function of ``chainrule.nn``."""
        raise NotImplementedError

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        """The states after all steps, or after the last one; with ``return_state`` also the last states."""
        x, batch = sequences, sequences.shape[0]
        state, scale = self.begin(initial_state, batch), None
        if training and self.dropout:
            x = dropout(self.next_key(self.seed), x, self.dropout, (batch, 1, x.shape[2]))
        if training and self.recurrent_dropout:
            scale = dropout(self.next_key(self.seed), np.ones((self.gates, batch, self.units), FLOAT),
                            self.recurrent_dropout)
        single = None if state is None else state[0] if len(state) == 1 else tuple(state)
        stacked, last = self.cell(x, single, mask=mask, reverse=self.go_backwards, recurrent_scale=scale)
        states = list(last) if isinstance(last, tuple) else [last]
        for k, value in enumerate(states if self.stateful and batch == self.batch_size else ()):
            setattr(self, f"state_{k}", value)
        out = self._sequence(stacked, mask) if self.return_sequences else self._last(states[0], mask)
        return (out, *states) if self.return_state else out

    def _sequence(self, stacked: Any, mask: Any) -> Any:
        if mask is not None and self.zero_output_for_mask:
            stacked = np.where(mask[:, :, None], stacked, np.float32(0))
        return np.flip(stacked, 1) if self.go_backwards else stacked

    def _last(self, h: Any, mask: Any) -> Any:
        if mask is None or not self.zero_output_for_mask:
            return h
        return np.where(mask[:, 0 if self.go_backwards else -1, None], h, np.float32(0))

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        """That of the steps, if they are returned."""
        mask = previous_mask if self.return_sequences else None
        return [mask, *(None for _ in range(self.state_count))] if self.return_state else mask

    def describe(self) -> str:
        """Units and what differs from the defaults."""
        flags = [f"{name}=True" for name in ("return_sequences", "return_state", "go_backwards", "stateful")
                 if getattr(self, name)]
        return ", ".join([str(self.units), *flags])


class SimpleRNN(Recurrent):
    """A plain recurrent layer: ``h ← activation(x_t · kernel + h · recurrent_kernel + bias)``.

    Args:
        units: the extent of the state.
        activation: of the sum; a name or a function of an array; None for none.
        use_bias: whether there is a bias.
        options: those of :class:`Recurrent`.

    Shapes: ``(batch, steps, features)`` to ``(batch, units)``, or ``(batch, steps, units)`` with ``return_sequences``.

    Example:
        >>> SimpleRNN(4)(np.zeros((2, 5, 3))).shape
        (2, 4)

    Source: Elman, "Finding structure in time", Cognitive Science 1990.
    """

    def __init__(self, units: int, activation: Any = "tanh", use_bias: bool = True, **options: Any) -> None:
        super().__init__(units, activation, use_bias, **options)

    def cell(self, x: Any, state: Any, **options: Any) -> tuple[Any, Any]:
        """:func:`chainrule.nn.rnn`."""
        return nn.rnn(x, *self.parameters, state, activation=self.activation, **options)


class LSTM(Recurrent):
    """Long short-term memory, with Keras's order of gates: input, forget, candidate, output.

    Args:
        units: the extent of the state.
        activation: of the candidate and of c; a name or a function of an array; None for none.
        recurrent_activation: of the gates.
        use_bias: whether there is a bias.
        unit_forget_bias: whether the bias of the forget gate begins with 1.
        options: those of :class:`Recurrent`.

    Shapes: ``(batch, steps, features)`` to ``(batch, units)``, or ``(batch, steps, units)`` with ``return_sequences``;
    with ``return_state`` also h and c, each ``(batch, units)``.

    Example:
        >>> LSTM(4, return_sequences=True)(np.zeros((2, 5, 3))).shape
        (2, 5, 4)

    Source: Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 1997.
    """

    gates, state_count = 4, 2

    def __init__(self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid",
                 use_bias: bool = True, unit_forget_bias: bool = True, **options: Any) -> None:
        super().__init__(units, activation, use_bias, **options)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = bool(unit_forget_bias)

    def add_bias(self, shape: Sequence[Any], name: str = "bias") -> Any:
        """A bias; with ``unit_forget_bias`` that of the forget gate is 1."""
        def first(shape: Any, dtype: Any) -> Any:
            bias = np.array(self.bias_initializer(shape, dtype))
            bias[self.units:2 * self.units] = 1
            return bias
        return self.add_weight(shape, first if self.unit_forget_bias else self.bias_initializer, name=name,
                               regularizer=self.bias_regularizer, constraint=self.bias_constraint)

    def cell(self, x: Any, state: Any, **options: Any) -> tuple[Any, Any]:
        """:func:`chainrule.nn.lstm`."""
        return nn.lstm(x, *self.parameters, state, activation=self.activation,
                       recurrent_activation=self.recurrent_activation, **options)


class GRU(Recurrent):
    """Gated recurrent unit, with Keras's order of gates: update, reset, candidate.

    Args:
        units: the extent of the state.
        activation: of the candidate; a name or a function of an array; None for none.
        recurrent_activation: of the gates.
        use_bias: whether there is a bias.
        reset_after: whether the reset gate comes after the product with the recurrent kernel; the bias is then
            ``(2, 3 * units)``, of the input and of the state.
        options: those of :class:`Recurrent`.

    Shapes: ``(batch, steps, features)`` to ``(batch, units)``, or ``(batch, steps, units)`` with ``return_sequences``.

    Example:
        >>> GRU(4)(np.zeros((2, 5, 3))).shape
        (2, 4)

    Source: Cho and others, "Learning phrase representations using RNN encoder-decoder for statistical machine
    translation", EMNLP 2014.
    """

    gates = 3

    def __init__(self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid",
                 use_bias: bool = True, reset_after: bool = True, **options: Any) -> None:
        super().__init__(units, activation, use_bias, **options)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = bool(reset_after)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """With ``reset_after`` one for the input and one for the state."""
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def cell(self, x: Any, state: Any, **options: Any) -> tuple[Any, Any]:
        """:func:`chainrule.nn.gru`."""
        return nn.gru(x, *self.parameters, state, activation=self.activation, reset_after=self.reset_after,
                      recurrent_activation=self.recurrent_activation, **options)


MERGES: dict[str | None, Callable[[Any, Any], Any]] = {
    "concat": lambda x, y: np.concatenate([x, y], axis=-1), "sum": lambda x, y: x + y, "mul": lambda x, y: x * y,
    "ave": lambda x, y: (x + y) / np.float32(2), None: lambda x, y: [x, y]}

__all__ = ["GRU", "LSTM", "MERGES", "Recurrent", "SimpleRNN"]
