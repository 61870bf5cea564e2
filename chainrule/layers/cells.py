"""One step of recurrent layers: cells, alone and stacked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chainrule import activations, constraints, initializers, nn, regularizers, tree
from chainrule.arguments import share, whole
from chainrule.errors import ArgumentError, ShapeError
from chainrule.layers.base import FLOAT, Layer, Shape
from chainrule.layers.kernel import KernelLayer
from chainrule.nn.stochastic import dropout
from chainrule.numpy.common import reshaped


class Cell(KernelLayer):
    """What the cells of the package share.

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
        options: ``kernel_initializer`` and the others of :class:`KernelLayer`.

    Called with ``(batch, features)`` and a list of states ``(batch, units)``, it gives the output and the new states.
    """

    gates, state_count = 1, 1
    fixed_axes = (-1,)
    input_dtype = FLOAT
    shared_arguments = (*KernelLayer.shared_arguments, "recurrent_initializer", "recurrent_regularizer",
                        "recurrent_constraint", "dropout", "recurrent_dropout", "seed")

    def __init__(self, units: int, activation: Any = "tanh", use_bias: bool = True,
                 recurrent_initializer: Any = "orthogonal", recurrent_regularizer: Any = None,
                 recurrent_constraint: Any = None, dropout: float = 0.0, recurrent_dropout: float = 0.0,
                 seed: int | None = None, **options: Any) -> None:
        super().__init__(activation, use_bias, **options)
        self.units = whole("units", units)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.dropout, self.recurrent_dropout = share("dropout", dropout), share("recurrent_dropout", recurrent_dropout)
        self.seed = seed

    @property
    def state_size(self) -> Any:
        """The extent of the state, or of each of several."""
        return self.units if self.state_count == 1 else [self.units] * self.state_count

    @property
    def output_size(self) -> int:
        """The extent of the output."""
        return self.units

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """Zeros for a batch of so many rows."""
        return [np.zeros((batch_size, self.units), FLOAT) for _ in range(self.state_count)]

    # -- weights

    def build(self, input_shape: Shape) -> None:
        """Make kernel ``(features, gates * units)``, recurrent kernel ``(units, gates * units)`` and bias."""
        wide = self.gates * self.units
        self.kernel = self.add_kernel((input_shape[-1], wide))
        self.recurrent_kernel = self.add_weight(
            (self.units, wide), self.recurrent_initializer, regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint)
        if self.use_bias:
            self.bias = self.add_bias(self.bias_shape)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """The shape of the bias."""
        return (self.gates * self.units,)

    @property
    def parameters(self) -> tuple[Any, Any, Any]:
        """Kernel, recurrent kernel and bias, None where there is none."""
        return self.kernel, self.recurrent_kernel, self.bias if self.use_bias else None

    # -- calls

    def function(self, x: Any, state: Any, **options: Any) -> tuple[Any, Any]:
        """All outputs, and the last states: a function of ``chainrule.nn``."""
        raise NotImplementedError

    def through(self, x: Any, states: Any, mask: Any, reverse: bool, training: bool) -> tuple[Any, list[Any]]:
        """The outputs of all steps of ``(batch, steps, features)`` in its order, and the states after the last one."""
        batch, scale = x.shape[0], None
        if training and self.dropout:
            x = dropout(self.next_key(self.seed), x, self.dropout, (batch, 1, x.shape[2]))
        if training and self.recurrent_dropout:
            scale = dropout(self.next_key(self.seed), np.ones((self.gates, batch, self.units), FLOAT),
                            self.recurrent_dropout)
        single = None if states is None else states[0] if len(states) == 1 else tuple(states)
        stacked, last = self.function(x, single, mask=mask, reverse=reverse, recurrent_scale=scale)
        return stacked, list(last) if isinstance(last, tuple) else [last]

    def call(self, x: Any, states: Any, training: bool = False) -> Any:
        """The output of one step, and the new states."""
        given = list(states) if isinstance(states, list | tuple) else [states]
        stacked, last = self.through(reshaped(x, (x.shape[0], 1, x.shape[1])), given, None, False, training)
        out = reshaped(stacked, (x.shape[0], self.units))
        return out, last if isinstance(states, list | tuple) else last[0]

    def describe(self) -> str:
        """Units."""
        return str(self.units)


class SimpleRNNCell(Cell):
    """One step of :class:`SimpleRNN`; arguments as there, without those about sequences.

    Example:
        >>> cell = SimpleRNNCell(4)
        >>> out, (state,) = cell(np.zeros((2, 3)), [np.zeros((2, 4))])
        >>> out.shape
        (2, 4)
    """

    def __init__(self, units: int, activation: Any = "tanh", use_bias: bool = True, **options: Any) -> None:
        super().__init__(units, activation=activation, use_bias=use_bias, **options)

    def function(self, x: Any, state: Any, **options: Any) -> tuple[Any, Any]:
        """:func:`chainrule.nn.rnn`."""
        return nn.rnn(x, *self.parameters, state, activation=self.activation, **options)


class LSTMCell(Cell):
    """One step of :class:`LSTM`; arguments as there, without those about sequences. Its states are h and c.

    Example:
        >>> cell = LSTMCell(4)
        >>> out, (h, c) = cell(np.zeros((2, 3)), cell.get_initial_state(2))
        >>> out.shape
        (2, 4)
    """

    gates, state_count = 4, 2

    def __init__(self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid",
                 use_bias: bool = True, *, unit_forget_bias: bool = True, **options: Any) -> None:
        super().__init__(units, activation=activation, use_bias=use_bias, **options)
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

    def function(self, x: Any, state: Any, **options: Any) -> tuple[Any, Any]:
        """:func:`chainrule.nn.lstm`."""
        return nn.lstm(x, *self.parameters, state, activation=self.activation,
                       recurrent_activation=self.recurrent_activation, **options)


class GRUCell(Cell):
    """One step of :class:`GRU`; arguments as there, without those about sequences.

    Example:
        >>> cell = GRUCell(4)
        >>> out, (state,) = cell(np.zeros((2, 3)), [np.zeros((2, 4))])
        >>> out.shape
        (2, 4)
    """

    gates = 3

    def __init__(self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid",
                 use_bias: bool = True, *, reset_after: bool = True, **options: Any) -> None:
        super().__init__(units, activation=activation, use_bias=use_bias, **options)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = bool(reset_after)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """With ``reset_after`` one for the input and one for the state."""
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def function(self, x: Any, state: Any, **options: Any) -> tuple[Any, Any]:
        """:func:`chainrule.nn.gru`."""
        return nn.gru(x, *self.parameters, state, activation=self.activation, reset_after=self.reset_after,
                      recurrent_activation=self.recurrent_activation, **options)


class StackedRNNCells(Layer):
    """Several cells, one on top of the other, as one; its state is a list with the states of each.

    Args:
        cells: of the package, or others with ``call(x, states) -> (output, states)`` and ``state_size``.
        options: those of every :class:`Layer`.

    Example:
        >>> RNN(StackedRNNCells([LSTMCell(8), LSTMCell(4)]))(np.zeros((2, 5, 3))).shape
        (2, 4)
    """

    def __init__(self, cells: Sequence[Any], **options: Any) -> None:
        super().__init__(**options)
        self.cells = [checked(cell) for cell in cells]
        if not self.cells:
            raise ArgumentError.of("StackedRNNCells got no cells", "at least one", "StackedRNNCells([LSTMCell(8)])")

    @property
    def state_size(self) -> list[Any]:
        """Those of the cells."""
        return [cell.state_size for cell in self.cells]

    @property
    def output_size(self) -> int:
        """That of the last cell."""
        return output_size(self.cells[-1])

    def get_initial_state(self, batch_size: int) -> list[Any]:
        """The states of all cells before the first step."""
        return [initial_state(cell, batch_size) for cell in self.cells]

    def build(self, input_shape: Shape) -> None:
        """Build the cells, each for what the one below gives."""
        for cell in self.cells:
            if isinstance(cell, Layer):
                cell.ensure_built(input_shape)
            input_shape = (input_shape[0], output_size(cell))

    def through(self, x: Any, states: Any, mask: Any, reverse: bool, training: bool) -> tuple[Any, list[Any]]:
        """All steps of a sequence, cell by cell: the same numbers as step by step."""
        after = []
        for cell, state in zip(self.cells, states, strict=True):
            x, new = cell.through(x, state if isinstance(state, list | tuple) else [state], mask, reverse, training)
            after.append(new if isinstance(state, list | tuple) else new[0])
        return x, after

    def call(self, x: Any, states: Any, training: bool = False) -> Any:
        """The output of one step, and the new states."""
        after = []
        for cell, state in zip(self.cells, states, strict=True):
            x, new = stepped(cell, x, state, training)
            after.append(new)
        return x, after


def checked(cell: Any) -> Any:
    """A cell; an error for what is none."""
    if not callable(getattr(cell, "call", None)) or not hasattr(cell, "state_size"):
        raise ArgumentError.of(f"got the cell {cell!r}", "an object with call(x, states) and state_size", "LSTMCell(8)")
    size = cell.state_size
    if not all(isinstance(n, int | np.integer) for n in tree.flatten(size)[0]):
        raise ArgumentError.of(f"got a cell with state_size={size!r}", "a whole number, or a list of them",
                               "state_size = 8")
    return cell


def output_size(cell: Any) -> int:
    """The extent of a cell's output: by default that of its first state."""
    given = getattr(cell, "output_size", None)
    if given is None:
        given = tree.flatten(cell.state_size)[0][0]
    return whole("output_size", given)


def initial_state(cell: Any, batch: int) -> Any:
    """The states of a cell before the first step: as it says, or zeros in the structure of its sizes."""
    if hasattr(cell, "get_initial_state"):
        return cell.get_initial_state(batch_size=batch)
    return tree.map_leaves(lambda n: np.zeros((batch, n), FLOAT), cell.state_size)


def stepped(cell: Any, x: Any, states: Any, training: bool) -> tuple[Any, Any]:
    """One step of any cell; the states come back in the structure they were given in."""
    listed = isinstance(states, list | tuple)
    given = list(states) if listed else [states]
    if isinstance(cell, Layer):
        out, new = cell(x, given, training=training)
    else:
        out, new = (cell if callable(cell) else cell.call)(x, given)
    new = list(new) if isinstance(new, list | tuple) else [new]
    if len(new) != len(given):
        raise ShapeError.of(f"the cell {cell!r} gave {len(new)} states for {len(given)}", "as many as it was given",
                            "return output, [state]")
    return out, new if listed else new[0]


def runs_whole(cell: Any) -> bool:
    """Whether a cell takes whole sequences, which is faster than a loop around its ``call``."""
    if isinstance(cell, StackedRNNCells):
        return type(cell).call is StackedRNNCells.call and all(map(runs_whole, cell.cells))
    return isinstance(cell, Cell) and type(cell).call is Cell.call


__all__ = ["Cell", "GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells", "checked", "initial_state",
           "output_size", "runs_whole", "stepped"]
