"""Recurrent layers: a sequence through one cell, forward or backward, with masks and states that stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule import tree
from chainrule.arguments import whole
from chainrule.control import scan
from chainrule.errors import ArgumentError, ShapeError
from chainrule.layers.base import FLOAT, Layer, Shape
from chainrule.layers.cells import (
    Cell,
    GRUCell,
    LSTMCell,
    SimpleRNNCell,
    StackedRNNCells,
    checked,
    initial_state,
    output_size,
    runs_whole,
    stepped,
)
from chainrule.layers.context import CALL
from chainrule.numpy.common import transposed


class Loop(Layer):
    """What all recurrent layers share.

    Args:
        return_sequences: whether the output is the outputs of all steps; else that of the last one.
        return_state: whether to return ``(output, *states)``.
        go_backwards: begin with the last step; the outputs come in the order of computation.
        stateful: begin with the states that the batch before ended with. All batches have the same number of rows.
        batch_size: that number, for ``stateful``, where ``Input(batch_shape=...)`` or the first batch do not say it.
        zero_output_for_mask: whether the output of a step that is masked is 0; else it is that of the step before.
        unroll: accepted, and without effect: the loop is native code.
        options: those of every :class:`Layer`, and of the cell.

    Called with ``(batch, steps, features)``, and:
        initial_state: the states to begin with, a list of ``(batch, units)``.
        mask: bools ``(batch, steps)``; a step that is False leaves the states as they are.
    """

    input_dtype = FLOAT
    supports_masking = True
    shared_arguments: tuple[str, ...] = ("return_sequences", "return_state", "go_backwards", "stateful", "batch_size",
                                         "zero_output_for_mask", "unroll")

    def __init__(self, *args: Any, return_sequences: bool = False, return_state: bool = False,
                 go_backwards: bool = False, stateful: bool = False, batch_size: int | None = None,
                 zero_output_for_mask: bool = False, unroll: bool = False, use_cudnn: Any = "auto",
                 implementation: int = 2, **options: Any) -> None:
        super().__init__(*args, **options)
        self.return_sequences, self.return_state = bool(return_sequences), bool(return_state)
        self.go_backwards, self.zero_output_for_mask = bool(go_backwards), bool(zero_output_for_mask)
        self.unroll, self.stateful = bool(unroll), bool(stateful)
        self.batch_size = None if batch_size is None else whole("batch_size", batch_size)

    # -- what the layers differ in

    def first_states(self, batch: int) -> list[Any]:
        """The states before the first step, where none are given."""
        raise NotImplementedError

    def advance(self, x: Any, states: list[Any], mask: Any, training: bool) -> tuple[Any, list[Any]]:
        """The outputs of all steps in the order of ``x``, and the states after the last one."""
        raise NotImplementedError

    def output_in(self, states: list[Any]) -> Any:
        """The output of the step after which the states are these; None if it is none of them.

        Taken from the outputs of all steps it would cost their gradients, of which all but one are zeros.
        """
        return None

    # -- states that stay

    @property
    def _kept(self) -> list[Any]:
        """The weights that hold the states from batch to batch."""
        return [self._named[name] for name in sorted(self._named) if name.startswith("state_")]

    def keep_states(self, batch: int) -> None:
        """Make the weights that hold the states of a batch of so many rows."""
        self.batch_size = batch
        for k, value in enumerate(tree.flatten(self.first_states(batch))[0]):
            setattr(self, f"state_{k}", self.add_weight(np.shape(value), "zeros", trainable=False))

    def reset_state(self) -> None:
        """Begin the next batch of a stateful layer with zeros."""
        for weight in self._kept:
            weight.assign(np.zeros(weight.shape, FLOAT))

    reset_states = reset_state

    def begin(self, given: Any, batch: int) -> tuple[list[Any], bool]:
        """The states before the first step, and whether those after the last one are kept."""
        call = CALL.get()
        if self.stateful and not self._kept:
            known = self.batch_size or (batch if call is None or not call.trial else call.batch)
            if known is None:
                raise ArgumentError.of(f"layer {self.name!r} is stateful for batches of unknown size",
                                       "the number of rows of every batch, for which states are kept",
                                       f"{type(self).__name__}(..., stateful=True, batch_size=32)")
            self.keep_states(known)
        fits = self.stateful and batch == self.batch_size
        if self.stateful and not fits and (call is None or not call.trial):
            raise ShapeError.of(f"layer {self.name!r} (stateful) got a batch of {batch} rows",
                                f"{self.batch_size} rows, for which it keeps states", f"batch_size={self.batch_size}")
        if given is not None:
            return list(given) if isinstance(given, list | tuple) else [given], fits
        first = self.first_states(batch)
        if fits:
            first = tree.unflatten(tree.flatten(first)[1], [weight.value for weight in self._kept])
        return first, fits

    # -- calls

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        """The outputs of all steps, or of the last one; with ``return_state`` also the last states."""
        states, keep = self.begin(initial_state, sequences.shape[0])
        stacked, states = self.advance(sequences, states, mask, training)
        for weight, value in zip(self._kept, tree.flatten(states)[0] if keep else (), strict=False):
            weight.assign(value)
        zeros = mask is not None and self.zero_output_for_mask
        if zeros:
            stacked = np.where(mask[(..., *(None,) * (len(stacked.shape) - 2))], stacked, np.float32(0))
        if not self.return_sequences:
            out = None if zeros else self.output_in(states)
            out = stacked[:, 0 if self.go_backwards else -1] if out is None else out
        else:
            out = np.flip(stacked, 1) if self.go_backwards else stacked
        return (out, *states) if self.return_state else out

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """That of the steps, if they are returned."""
        mask = mask[0] if isinstance(mask, list | tuple) else mask
        kept = mask if self.return_sequences else None
        return [kept, *(None for _ in self.first_states(1))] if self.return_state else kept

    def flags(self) -> list[str]:
        """What differs from the defaults, for ``repr``."""
        return [f"{name}=True" for name in ("return_sequences", "return_state", "go_backwards", "stateful")
                if getattr(self, name)]


class Recurrent(Loop, Cell):  # type: ignore[misc]
    """A recurrent layer around a cell of the package, whose weights are its own.

    Args:
        units: the extent of the state.
        activation: of the candidate; a name or a function of an array; None for none.
        use_bias: whether there is a bias.
        options: those of :class:`Loop`, and of :class:`Cell`.
    """

    shared_arguments = (*Cell.shared_arguments, *Loop.shared_arguments)

    def build(self, input_shape: Shape) -> None:
        """Make kernel ``(features, gates * units)``, recurrent kernel ``(units, gates * units)`` and bias."""
        if len(input_shape) != 3 or input_shape[-1] is None:
            raise ShapeError.of(f"layer {self.name!r} ({type(self).__name__}) got an input of shape {input_shape}",
                                "a batch of sequences, (batch, steps, features)", "x[..., None]   # one feature")
        super().build(input_shape)
        if self.stateful and (self.batch_size or input_shape[0]):
            self.keep_states(self.batch_size or int(input_shape[0] or 1))

    def first_states(self, batch: int) -> list[Any]:
        """Zeros."""
        return self.get_initial_state(batch)

    def advance(self, x: Any, states: list[Any], mask: Any, training: bool) -> tuple[Any, list[Any]]:
        """One call of the function of ``chainrule.nn``."""
        return self.through(x, states, mask, self.go_backwards, training)

    def output_in(self, states: list[Any]) -> Any:
        """The first of them."""
        return states[0]

    def describe(self) -> str:
        """Units and what differs from the defaults."""
        return ", ".join([str(self.units), *self.flags()])


class SimpleRNN(Recurrent, SimpleRNNCell):  # type: ignore[misc]
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
        super().__init__(units, activation=activation, use_bias=use_bias, **options)


class LSTM(Recurrent, LSTMCell):  # type: ignore[misc]
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

    def __init__(self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid",
                 use_bias: bool = True, *, unit_forget_bias: bool = True, **options: Any) -> None:
        super().__init__(units, activation=activation, recurrent_activation=recurrent_activation, use_bias=use_bias,
                         unit_forget_bias=unit_forget_bias, **options)


class GRU(Recurrent, GRUCell):  # type: ignore[misc]
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

    def __init__(self, units: int, activation: Any = "tanh", recurrent_activation: Any = "sigmoid",
                 use_bias: bool = True, *, reset_after: bool = True, **options: Any) -> None:
        super().__init__(units, activation=activation, recurrent_activation=recurrent_activation, use_bias=use_bias,
                         reset_after=reset_after, **options)


class RNN(Loop):
    """A sequence through any cell, or several that are stacked.

    Args:
        cell: :class:`SimpleRNNCell`, :class:`LSTMCell`, :class:`GRUCell`, :class:`StackedRNNCells`, a list of cells, or
            an object with ``call(x, states) -> (output, states)`` and ``state_size``, usually a :class:`Layer`.
        return_sequences, return_state, go_backwards, stateful, unroll, zero_output_for_mask: see :class:`Loop`.
        options: those of :class:`Loop`.

    Shapes: ``(batch, steps, …)`` to ``(batch, units)``, or ``(batch, steps, units)`` with ``return_sequences``.

    Example:
        >>> class Sums(Layer):
        ...     state_size = 3
        ...     def call(self, x, states):
        ...         total = states[0] + x
        ...         return total, [total]
        >>> RNN(Sums(), return_sequences=True)(np.ones((1, 2, 3)))
        array([[[1., 1., 1.],
                [2., 2., 2.]]], dtype=float32)
    """

    def __init__(self, cell: Any, return_sequences: bool = False, return_state: bool = False,
                 go_backwards: bool = False, stateful: bool = False, unroll: bool = False,
                 zero_output_for_mask: bool = False, **options: Any) -> None:
        super().__init__(return_sequences=return_sequences, return_state=return_state, go_backwards=go_backwards,
                         stateful=stateful, unroll=unroll, zero_output_for_mask=zero_output_for_mask, **options)
        self.cell = StackedRNNCells(cell) if isinstance(cell, list | tuple) else checked(cell)

    @property
    def state_size(self) -> Any:
        """That of the cell."""
        return self.cell.state_size

    @property
    def output_size(self) -> int:
        """That of the cell."""
        return output_size(self.cell)

    def build(self, input_shape: Shape) -> None:
        """Build the cell for one step."""
        if isinstance(self.cell, Layer):
            self.cell.ensure_built((input_shape[0], *input_shape[2:]))
        if self.stateful and (self.batch_size or input_shape[0]):
            self.keep_states(self.batch_size or int(input_shape[0] or 1))

    def first_states(self, batch: int) -> list[Any]:
        """As the cell says."""
        given = initial_state(self.cell, batch)
        return list(given) if isinstance(given, list | tuple) else [given]

    def advance(self, x: Any, states: list[Any], mask: Any, training: bool) -> tuple[Any, list[Any]]:
        """The cell over the whole sequence, or a loop around its ``call``."""
        if runs_whole(self.cell):
            return self.cell.through(x, states, mask, self.go_backwards, training)
        call = CALL.get()
        if training and call is not None:
            call.next_key()  # what the cell draws in the loop follows from a key made before it

        def turn(carry: Any, row: Any) -> tuple[Any, Any]:
            out, new = stepped(self.cell, row[0], carry, training)
            if mask is None:
                return new, out
            before = carry[-1][0] if isinstance(carry[0], list | tuple) else carry[0]
            new = tree.map_leaves(lambda n, s: np.where(_beside(row[1], n), n, s), new, carry)
            return new, np.where(_beside(row[1], out), out, before)
        rows = [_steps_first(x), *([] if mask is None else [_steps_first(mask)])]
        after, stacked = scan(turn, states, tuple(rows), reverse=self.go_backwards)
        return _steps_first(stacked), after

    def output_in(self, states: list[Any]) -> Any:
        """The first state of the last cell, if the cells are of the package."""
        cell, state = self.cell, states
        if not runs_whole(cell):
            return None
        while isinstance(cell, StackedRNNCells):
            cell, state = cell.cells[-1], state[-1]
        return state[0] if isinstance(state, list | tuple) else state

    def describe(self) -> str:
        """The cell and what differs from the defaults."""
        return ", ".join([repr(self.cell), *self.flags()])


def _steps_first(x: Any) -> Any:
    """The first two axes exchanged."""
    return transposed(x, (1, 0, *range(2, len(x.shape))))


def _beside(mask: Any, x: Any) -> Any:
    """A mask of rows with the axes of ``x``."""
    return mask[(..., *(None,) * (len(x.shape) - 1))]


MERGES: dict[str | None, Callable[[Any, Any], Any]] = {
    "concat": lambda x, y: np.concatenate([x, y], axis=-1), "sum": lambda x, y: x + y, "mul": lambda x, y: x * y,
    "ave": lambda x, y: (x + y) / np.float32(2), None: lambda x, y: (x, y)}

__all__ = ["GRU", "LSTM", "MERGES", "RNN", "Loop", "Recurrent", "SimpleRNN"]
