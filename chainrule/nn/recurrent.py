"""Recurrent networks: a sequence through one cell, as one loop.

The products of all steps with the input are one contraction before the loop. What is left inside is the product with
the state and the gates. Kernels, biases and gates are in Keras's order, and so are the numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from chainrule.activations import sigmoid, tanh
from chainrule.control import scan
from chainrule.errors import ChainruleTypeError, ShapeError
from chainrule.numpy.common import array, filled, reshaped, sliced, transposed
from chainrule.numpy.products import labelled
from chainrule.ops import elementwise as ew
from chainrule.ops.declare import common_dtype, convert, dtype_of, expand, shape_of
from chainrule.ops.reduce import spread
from chainrule.ops.structure import concatenate

Activation = Callable[[Any], Any]

_TIME, _BATCH, _GATE, _IN, _UNIT = range(1, 6)


def rnn(x: Any, kernel: Any, recurrent_kernel: Any, bias: Any = None, initial_state: Any = None, *, mask: Any = None,
        reverse: bool = False, activation: Activation = tanh, recurrent_scale: Any = None,
        time_major: bool = False) -> tuple[Any, Any]:
    """A plain recurrent network: ``h ← activation(x_t · kernel + bias + h · recurrent_kernel)``.

    Args:
        x: (batch, time, features).
        kernel: (features, units).
        recurrent_kernel: (units, units).
        bias: (units,); None for none.
        initial_state: h before the first step, (batch, units); None is 0.
        mask: bools (batch, time); a step that is False leaves the state as it is.
        reverse: go from the last step to the first; the states stay in the order of ``x``.
        activation: of the sum.
        recurrent_scale: what h is multiplied with wherever it meets the recurrent kernel, such as a dropout mask that
            all steps share: broadcasts to (batch, units), or to (gates, batch, units), one for each gate.
        time_major: ``x``, ``mask`` and the states have time as their first axis.

    Returns:
        The states after all steps, (batch, time, units), and the last one, (batch, units).

    Example:
        >>> from chainrule import nn
        >>> states, last = nn.rnn(np.ones((2, 5, 3)), np.ones((3, 4)), np.zeros((4, 4)))
        >>> states.shape, last[0].round(3)
        ((2, 5, 4), array([0.995, 0.995, 0.995, 0.995]))

    Source: Elman, "Finding structure in time", Cognitive Science 1990.
    """
    cell = _Cell("rnn", 1, x, kernel, recurrent_kernel, recurrent_scale, time_major)
    inputs = cell.projected(cell.bias(bias, (cell.units,)))
    recurrent = cell.recurrent

    def step(state: tuple[Any, ...], x_t: Any) -> tuple[Any, ...]:
        return (cell.gates(activation(ew.add(x_t, cell.product(state[0], recurrent))))[0],)
    states, (h,) = cell.run(step, inputs, cell.states(initial_state, 1), mask, reverse)
    return states, h


def lstm(x: Any, kernel: Any, recurrent_kernel: Any, bias: Any = None, initial_state: Any = None, *, mask: Any = None,
         reverse: bool = False, activation: Activation = tanh, recurrent_activation: Activation = sigmoid,
         recurrent_scale: Any = None, time_major: bool = False) -> tuple[Any, tuple[Any, Any]]:
    """Long short-term memory.

    With ``i, f, g, o`` the four parts of ``x_t · kernel + bias + h · recurrent_kernel`` (input gate, forget gate,
    candidate, output gate) after ``recurrent_activation`` (the candidate: ``activation``)::

        c ← f * c + i * g
        h ← o * activation(c)

    Args:
        x: (batch, time, features).
        kernel: (features, 4 * units).
        recurrent_kernel: (units, 4 * units).
        bias: (4 * units,); None for none.
        initial_state: ``(h, c)`` before the first step, each (batch, units); None is 0.
        mask: bools (batch, time); a step that is False leaves the state as it is.
        reverse: go from the last step to the first; the states stay in the order of ``x``.
        activation: of the candidate and of c.
        recurrent_activation: of the gates.
        recurrent_scale: as in :func:`rnn`.
        time_major: ``x``, ``mask`` and the states have time as their first axis.

    Returns:
        h after all steps, (batch, time, units), and the last ``(h, c)``.

    Example:
        >>> from chainrule import nn
        >>> states, (h, c) = nn.lstm(np.ones((2, 5, 3)), np.ones((3, 16)), np.zeros((4, 16)))
        >>> states.shape, h[0].round(3)
        ((2, 5, 4), array([0.952, 0.952, 0.952, 0.952]))

    Source: Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 1997; Gers, Schmidhuber and
    Cummins, "Learning to forget", Neural Computation 2000.
    """
    cell = _Cell("lstm", 4, x, kernel, recurrent_kernel, recurrent_scale, time_major)
    inputs = cell.projected(cell.bias(bias, (4 * cell.units,)))
    recurrent = cell.recurrent

    def step(state: tuple[Any, ...], x_t: Any) -> tuple[Any, ...]:
        h, c = state
        i, f, g, o = cell.gates(ew.add(x_t, cell.product(h, recurrent)))
        i, f, o = recurrent_activation(i), recurrent_activation(f), recurrent_activation(o)
        c = ew.add(ew.mul(f, c), ew.mul(i, activation(g)))
        return ew.mul(o, activation(c)), c
    states, (h, c) = cell.run(step, inputs, cell.states(initial_state, 2), mask, reverse)
    return states, (h, c)


def gru(x: Any, kernel: Any, recurrent_kernel: Any, bias: Any = None, initial_state: Any = None, *, mask: Any = None,
        reverse: bool = False, activation: Activation = tanh, recurrent_activation: Activation = sigmoid,
        reset_after: bool = True, recurrent_scale: Any = None, time_major: bool = False) -> tuple[Any, Any]:
    """Gated recurrent unit.

    With ``x_z, x_r, x_n`` the three parts of ``x_t · kernel + bias``, and ``h_z, h_r, h_n`` those of
    ``h · recurrent_kernel`` (update gate, reset gate, candidate)::

        z, r = recurrent_activation(x_z + h_z), recurrent_activation(x_r + h_r)
        n = activation(x_n + r * h_n)
        h ← z * h + (1 - z) * n

    Without ``reset_after``, ``h_n`` is ``(r * h) · recurrent_kernel`` and r does not multiply it.

    Args:
        x: (batch, time, features).
        kernel: (features, 3 * units).
        recurrent_kernel: (units, 3 * units).
        bias: (3 * units,), or with ``reset_after`` also (2, 3 * units): of the input, and of the state; None for none.
        initial_state: h before the first step, (batch, units); None is 0.
        mask: bools (batch, time); a step that is False leaves the state as it is.
        reverse: go from the last step to the first; the states stay in the order of ``x``.
        activation: of the candidate.
        recurrent_activation: of the gates.
        reset_after: whether the reset gate comes after the product with the recurrent kernel.
        recurrent_scale: as in :func:`rnn`.
        time_major: ``x``, ``mask`` and the states have time as their first axis.

    Returns:
        The states after all steps, (batch, time, units), and the last one, (batch, units).

    Example:
        >>> from chainrule import nn
        >>> states, last = nn.gru(np.ones((2, 5, 3)), np.ones((3, 12)), np.zeros((4, 12)))
        >>> states.shape, last[0].round(3)
        ((2, 5, 4), array([0.215, 0.215, 0.215, 0.215]))

    Source: Cho and others, "Learning phrase representations using RNN encoder-decoder for statistical machine
    translation", EMNLP 2014.
    """
    cell = _Cell("gru", 3, x, kernel, recurrent_kernel, recurrent_scale, time_major)
    units = cell.units
    inside = None
    if bias is not None and len(shape_of(bias)) == 2 and reset_after:  # only the candidate's must be inside of the loop
        both = cell.bias(bias, (2, 3 * units))
        of_input, of_state = sliced(both, 0, 0, 1), sliced(both, 0, 1, 2)
        inside = expand(reshaped(sliced(of_state, 1, 2 * units, 3 * units), (units,)), (cell.batch, units))
        early = ew.add(sliced(of_input, 1, 0, 2 * units), sliced(of_state, 1, 0, 2 * units))
        bias = reshaped(concatenate(early, sliced(of_input, 1, 2 * units, 3 * units), axis=1), (3 * units,))
    inputs = cell.projected(cell.bias(bias, (3 * units,)))
    recurrent = cell.recurrent
    first, last = sliced(recurrent, 1, 0, 2 * units), sliced(recurrent, 1, 2 * units, 3 * units)

    def step(state: tuple[Any, ...], x_t: Any) -> tuple[Any, ...]:
        h, = state
        x_z, x_r, x_n = cell.gates(x_t)
        if reset_after:
            h_z, h_r, h_n = cell.gates(cell.product(h, recurrent))
            h_n = h_n if inside is None else ew.add(h_n, inside)
        else:
            h_z, h_r = cell.gates(cell.product(h, first, 0))
        z, r = recurrent_activation(ew.add(x_z, h_z)), recurrent_activation(ew.add(x_r, h_r))
        if reset_after:
            h_n = ew.mul(r, h_n)
        else:
            h_n, = cell.gates(cell.product(h, last, 2, r))
        n = activation(ew.add(x_n, h_n))
        return (ew.add(ew.mul(z, h), ew.mul(ew.sub(1.0, z), n)),)
    states, (h,) = cell.run(step, inputs, cell.states(initial_state, 1), mask, reverse)
    return states, h


class _Cell:
    """What the cells share. The gates stand side by side, (batch, gates * units), as Keras has them."""

    def __init__(self, name: str, gates: int, x: Any, kernel: Any, recurrent: Any, scale: Any,
                 time_major: bool) -> None:
        self.name, self.count, self.time_major = name, gates, time_major
        shapes = x_shape, kernel_shape, recurrent_shape = tuple(shape_of(v) for v in (x, kernel, recurrent))
        units = recurrent_shape[0] if recurrent_shape else 0
        if tuple(map(len, shapes)) != (3, 2, 2) or x_shape[2] != kernel_shape[0] or not (
                kernel_shape[1] == recurrent_shape[1] == gates * units):
            wide = f"{gates} * units" if gates > 1 else "units"
            raise ShapeError.of(
                f"the function {name} got x of shape {x_shape}, a kernel of shape {kernel_shape} and a recurrent "
                f"kernel of shape {recurrent_shape}",
                f"(batch, time, features), (features, {wide}) and (units, {wide})",
                f"nn.{name}(x, np.zeros((x.shape[-1], {gates * 8})), np.zeros((8, {gates * 8})))")
        dtype = common_dtype((x, kernel, recurrent))
        self.x, self.kernel, self.recurrent = (array(convert(v, dtype)) for v in (x, kernel, recurrent))
        self.units, self.dtype = units, self.x.dtype
        self.length, self.batch = (x_shape[0], x_shape[1]) if time_major else (x_shape[1], x_shape[0])
        self.scale = None if scale is None else self.fitting("recurrent_scale", array(convert(scale, self.dtype)), (
            *((gates,) if len(shape_of(scale)) == 3 else ()), self.batch, units))

    def fitting(self, what: str, x: Any, shape: tuple[int, ...]) -> Any:
        """``x``, which broadcasts to ``shape``, as an array of it."""
        lined_up = zip(x.shape[::-1], shape[::-1], strict=False)
        if len(x.shape) > len(shape) or any(n not in (1, extent) for n, extent in lined_up):
            raise ShapeError.of(f"the function {self.name} got {what} of shape {x.shape}", f"one of shape {shape}",
                                f"{what}=np.zeros({shape})")
        return expand(x, shape)

    def bias(self, bias: Any, shape: tuple[int, ...]) -> Any:
        """The bias in the dtype of the rest; None stays None."""
        if bias is None:
            return None
        bias = array(convert(bias, self.dtype))
        if bias.shape != shape:
            raise ShapeError.of(f"the function {self.name} got a bias of shape {bias.shape}", f"one of shape {shape}",
                                f"bias=np.zeros({shape})")
        return bias

    def states(self, given: Any, count: int) -> list[Any]:
        """The states before the first step."""
        shape = (self.batch, self.units)
        if given is None:
            return [filled(self.x, shape, 0, self.dtype) for _ in range(count)]
        parts = list(given) if count > 1 else [given]
        if len(parts) != count or any(tuple(shape_of(s)) != shape for s in parts):
            found = ", ".join(str(tuple(shape_of(s))) for s in parts)
            wanted = f"{shape}" if count == 1 else f"a pair of them: h and c, both of shape {shape}"
            raise ShapeError.of(f"the function {self.name} got an initial state of shape {found}", wanted,
                                f"initial_state={'(h, c)' if count > 1 else 'h'}   # h = np.zeros({shape})")
        return [array(convert(s, self.dtype)) for s in parts]

    # -- before the loop

    def projected(self, bias: Any) -> Any:
        """The product of all steps with the kernel, (time, batch, gates * units)."""
        out = labelled(self.x, self.kernel, (_TIME, _BATCH, _IN) if self.time_major else (_BATCH, _TIME, _IN),
                       (_IN, _UNIT), (_TIME, _BATCH, _UNIT))
        return out if bias is None else ew.add(out, expand(bias, out.shape))

    # -- inside of it

    def product(self, h: Any, recurrent: Any, first: int = 0, gate: Any = None) -> Any:
        """h, times ``gate``, with some gates of the recurrent kernel, from gate ``first`` on."""
        count = recurrent.shape[1] // self.units
        if gate is not None:
            h = ew.mul(gate, h)
        if self.scale is None or len(self.scale.shape) == 2:
            h = h if self.scale is None else ew.mul(h, self.scale)
            return labelled(h, recurrent, (_BATCH, _IN), (_IN, _UNIT), (_BATCH, _UNIT))
        each = ew.mul(spread(h, (0,), (count, *h.shape)), sliced(self.scale, 0, first, first + count))
        out = labelled(each, reshaped(recurrent, (self.units, count, self.units)), (_GATE, _BATCH, _IN),
                       (_IN, _GATE, _UNIT), (_BATCH, _GATE, _UNIT))
        return reshaped(out, (self.batch, recurrent.shape[1]))

    def gates(self, z: Any) -> list[Any]:
        """The parts of (batch, gates * units), each (batch, units)."""
        return [sliced(z, 1, k, k + self.units) for k in range(0, z.shape[1], self.units)]

    # -- around it

    def run(self, step: Callable[[tuple[Any, ...], Any], tuple[Any, ...]], inputs: Any, states: list[Any], mask: Any,
            reverse: bool) -> tuple[Any, tuple[Any, ...]]:
        """The first of the states after all steps, stacked as ``x`` is, and all states after the last one."""
        seen = None if mask is None else self.mask(mask)

        def turn(state: tuple[Any, ...], row: Any) -> tuple[tuple[Any, ...], Any]:
            new = step(state, row[0])
            if seen is not None:
                keep = spread(row[1], (1,), new[0].shape)
                new = tuple(ew.select(keep, n, s) for n, s in zip(new, state, strict=True))
            return new, new[0]
        last, stacked = scan(turn, tuple(states), (inputs, *([] if seen is None else [seen])), reverse=reverse)
        return stacked if self.time_major else transposed(stacked, (1, 0, 2)), last

    def mask(self, mask: Any) -> Any:
        """The mask, (time, batch)."""
        mask = array(mask)
        shape = (self.length, self.batch) if self.time_major else (self.batch, self.length)
        if dtype_of(mask) != np.dtype(bool):
            raise ChainruleTypeError.of(f"the function {self.name} got a mask of dtype {dtype_of(mask)}",
                                        "bools: False where a step is left out", "mask.astype(bool)")
        if mask.shape != shape:
            raise ShapeError.of(f"the function {self.name} got a mask of shape {mask.shape}",
                                f"{'(time, batch)' if self.time_major else '(batch, time)'} = {shape}",
                                "mask=np.any(x != 0, axis=-1)")
        return mask if self.time_major else transposed(mask, (1, 0))
