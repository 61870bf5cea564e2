"""What all layers share: weights, layers inside of layers, building for an input shape, calls, recording."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

import chainrule.numpy  # noqa: F401  from here on NumPy functions record themselves
from chainrule import dtypes, initializers, random, regularizers, tree
from chainrule.errors import ArgumentError, ChainruleError, ShapeError
from chainrule.graph import scope
from chainrule.layers import config, precision
from chainrule.layers.context import CALL, Call, calling, carry_mask
from chainrule.layers.holder import Holder
from chainrule.layers.parts import (
    Shape,
    Symbolic,
    as_input,
    building,
    given_shape,
    layer_name,
    masks_of,
    penalties,
    shapes_of,
    signature_of,
    unique_names,
)
from chainrule.layers.shapes import filled_in, leaves_of, output_shapes
from chainrule.layers.weights import FLOAT, Version, Weight, assign


class Layer(Holder):
    """One step of a network. A subclass defines ``call`` and, if it has weights, ``build``.

    Args:
        name: the layer's name; by default its class's name in lower case, made unique in the model.
        input_shape: the shape of one sample, for the first layer of a model; None for an extent that varies.
        input_dim: the same where a sample is a vector: ``input_dim=10`` is ``input_shape=(10,)``.
        trainable: whether training changes its weights; may be set at any time, also for a whole model.
        activity_regularizer: a function of the output whose result, divided by the batch size, is added to the loss.
        dtype: "float32"; with "mixed_bfloat16" or "mixed_float16" weights are float32, while what the layer takes,
            multiplies and gives is of half that size. float16 ends at 65504: train with ``LossScaleOptimizer``. None:
            as the policy of :mod:`chainrule.mixed_precision` says.
        autocast: accepted, and without effect: floats become float32.

    A weight is made in ``build`` and used in ``call`` under the name it was stored as. Layers stored as attributes,
    also in lists and dicts, belong to this layer with their weights. ``training`` and ``mask`` are given to a ``call``
    that has arguments of these names.

        class Scale(Layer):
            def build(self, input_shape):
                self.factor = self.add_weight((input_shape[-1],), "ones")
                self.seen = self.add_weight((), "zeros", trainable=False)

            def call(self, x, training=False):
                if training:
                    self.seen = self.seen + 1.0     # state: kept from step to step
                return x * self.factor
    """

    input_dtype: np.dtype | None = None  # what inputs are converted to; None: floats to float32, others stay
    fixed_axes: tuple[int, ...] = ()  # axes of the input whose extents are those that the layer was built for
    shared_arguments: tuple[str, ...] = ()  # of the base class, for get_config: attributes of the same names
    compute_dtype = FLOAT  # what ``dtype`` asks for
    scoped = True  # whether what is recorded is booked under the layer even if no other layer calls it
    supports_masking = False  # whether the mask of an input, unchanged, holds for the output

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        config.offer(cls)
        if "build" in vars(cls):  # called by a user, it leaves the layer built too
            cls.build = building(cls.build)  # type: ignore[method-assign]

    def __new__(cls, *args: Any, **options: Any) -> Any:
        """Prepared here, so that a subclass may set attributes before it calls ``super().__init__()``."""
        layer = super().__new__(cls)
        vars(layer).update(
            _given=(args, options), _own=[], _named={}, _inbound=[], _trainable=True, _drawn=0, _added=[],
            named=False, name=layer_name(cls.__name__), built=False, input_shape=None, output_shape=None,
            argument_shapes=None, given_shape=None, activity_regularizer=None, _policy=precision.dtype_policy())
        return layer

    def __getstate__(self) -> dict[str, Any]:  # for copies: they were applied to nothing yet
        return {**vars(self), "_inbound": []}

    _given: tuple[tuple[Any, ...], dict[str, Any]]
    _own: list[Weight]
    _policy: str  # the one that it was made under
    _named: dict[str, Weight]
    _inbound: list[Any]  # weak references to what the layer was applied to while models were put together
    _added: list[Any]
    name: str
    named: bool
    built: bool
    input_shape: Any  # of what it was built for, the first extent None; for several arguments of a call, of the first
    output_shape: Any
    argument_shapes: Any
    given_shape: Any

    def __init__(self, name: str | None = None, input_shape: Sequence[int | None] | None = None,
                 input_dim: int | None = None, trainable: bool = True, activity_regularizer: Any = None,
                 dtype: Any = None, autocast: bool = True) -> None:
        if name is not None:
            self.name, self.named = str(name), True
        self.given_shape = given_shape(input_shape, input_dim)
        self._trainable = bool(trainable)
        self.activity_regularizer = None if activity_regularizer is None else regularizers.get(activity_regularizer)
        self.compute_dtype = precision.computed_in(self.name, dtype)

    # -- what a subclass defines

    def build(self, *shapes: Any, **named: Any) -> None:
        """Make the weights for inputs of this shape, its first extent (the batch) None."""
        self.mark_built(*shapes, *named.values())

    def call(self, *args: Any, **options: Any) -> Any:
        """The output for a batch."""
        raise NotImplementedError(f"{type(self).__name__} defines no call")

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the output: that of the input where the layer ``supports_masking``, else none."""
        return mask if self.supports_masking else None

    # -- weights

    def add_weight(self, shape: Sequence[int] | int = (), initializer: str | Callable[..., Any] | None = None,
                   dtype: Any = None, trainable: bool = True, regularizer: Any = None, constraint: Any = None,
                   name: str | None = None) -> Any:
        """A new weight; store it as an attribute: ``self.kernel = self.add_weight(...)``.

        Args:
            shape: its extents.
            initializer: a name or a function of ``(shape, dtype)``; None is ``glorot_uniform``, of integers ``zeros``.
            dtype: float32 by default; state may have another.
            trainable: False for state, which ``call`` changes by assigning to the attribute.
            regularizer: a name or a function whose result is added to the loss.
            constraint: a function applied to the weight after each training step.
            name: of the weight; by default that of the attribute.
        """
        kind = FLOAT if dtype is None else np.dtype(dtype)
        if trainable and kind != FLOAT:
            raise ArgumentError.of(f"layer {self.name!r} adds a trainable weight of dtype {kind}", "float32",
                                   "self.add_weight(shape, dtype='int32', trainable=False)")
        shape = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
        make = initializers.get(initializer or ("glorot_uniform" if dtypes.is_float(kind) else "zeros"))
        weight = Weight(name or "", np.array(make(shape, kind), kind).reshape(shape), trainable,
                        None if regularizer is None else regularizers.get(regularizer), constraint)
        self._own.append(weight)
        Version.now += 1
        return weight

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Weight):
            value.name = value.name or name
            self.__dict__.pop(name, None)
            self._named[name] = value
            if value not in self._own:
                self._own.append(value)
        elif name in self._named:
            self._named[name].assign(value)
        else:
            object.__setattr__(self, name, value)
            if isinstance(value, _HOLDERS):
                Version.now += 1

    def __getattr__(self, name: str) -> Any:
        # only asked for what is not an ordinary attribute
        weights = self.__dict__.get("_named", {})
        if name in weights:
            return precision.used(weights[name], self.compute_dtype)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # -- calls

    def __call__(self, *args: Any, training: bool | None = None, **options: Any) -> Any:
        """The output for concrete, recorded or symbolic batches; builds the layer at the first call.

        Args:
            args: arrays, or containers of them.
            training: None: as the layer that calls this one; False if none does.
            options: other arguments of ``call``.
        """
        for leaf in tree.flatten((args, options))[0]:
            if isinstance(leaf, Symbolic):
                return leaf.through(self, args, options if training is None else {**options, "training": training})
        outer = CALL.get()
        if outer is None:
            with calling(Call(bool(training))) as call:
                result = self._called(call, args, options)
            self._added = call.losses
            for leaf in tree.flatten(result)[0]:
                if (mask := call.mask(leaf)) is not None:
                    carry_mask(leaf, mask)
            return result
        before, outer.training = outer.training, outer.training if training is None else bool(training)
        alone = outer.several and outer.depth == 0
        losses = outer.losses
        if alone:
            outer.losses = []
        try:
            return self._called(outer, args, options)
        finally:
            outer.training = before
            if alone:
                self._added, outer.losses = outer.losses, losses
                outer.called.append(self)

    def _called(self, call: Call, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        signature, depth = signature_of(self), call.depth
        args, options = signature.positional(args, options)
        args = tuple(self.converted(a) for a in args)
        shapes = [shapes_of(a) for a in args]
        try:
            self.ensure_built(*shapes)
            if args and self.fixed_axes:
                self.check_input(tuple(args[0].shape))
            if signature.training:
                options = {**options, "training": call.training}
            previous = call.mask(args[0]) if args else None
            for argument, i, at in signature.masks:
                if argument not in options and i < len(args) <= at:
                    options = {**options, argument: call.mask(args[i])}
            call.depth += 1
            with scope(f"layer {self.name!r}") if call.depth > 1 or self.scoped else nullcontext():
                result = precision.in_dtype(self.call(*precision.in_dtype(args, self.compute_dtype), **options),
                                            self.compute_dtype)
        except ChainruleError as error:
            error.add_note(f"  In layer {self.name!r} ({type(self).__name__}), input shape "
                           f"{', '.join(str(s) for s in shapes)}.")
            raise
        finally:
            call.depth = depth
        if self.output_shape is None:
            self.output_shape = shapes_of(result)
        mask = self.compute_mask(args[0] if args else None, previous)
        if mask is not None:
            for x, m in zip(tree.flatten(result)[0], masks_of(mask), strict=False):
                if m is not None:
                    call.set_mask(x, m)
        if self.activity_regularizer is not None:
            for x in tree.flatten(result)[0]:
                self.add_loss(self.activity_regularizer(x) * (1.0 / (x.shape[0] or 1)))
        return result

    def converted(self, x: Any) -> Any:
        """An argument of a call, an array or a container of them, in the dtype that the layer computes in."""
        if isinstance(x, list) and all(isinstance(leaf, int | float) for leaf in tree.flatten(x)[0]):
            x = np.asarray(x)
        return tree.map_leaves(lambda leaf: as_input(leaf, self.input_dtype), x)

    @property
    def base_name(self) -> str:
        """What the layer is called where it has no name of its own."""
        return layer_name(type(self).__name__)

    def ensure_built(self, *shapes: Any) -> None:
        """Build the layer, once. ``build`` gets the shape of the first argument, or of all that it has names for."""
        if not self.built:
            count = signature_of(self).shapes
            self.build(*shapes[:count])
            self.mark_built(*shapes)

    def mark_built(self, *shapes: Any) -> None:
        """Note that the weights are there, for inputs of these shapes."""
        self.built, self.input_shape, self.argument_shapes = True, shapes[0] if shapes else None, shapes

    def check_input(self, shape: tuple[int, ...]) -> None:
        """An error for a batch that does not fit what the layer was built for."""
        fits = self.input_shape
        if len(shape) < 2 or any(shape[i] != fits[i] for i in self.fixed_axes):
            call = CALL.get()
            shown = (None, *shape[1:]) if call is not None and call.trial else shape
            raise ShapeError.of(f"layer {self.name!r} ({type(self).__name__}) got an input of shape {shown}",
                                f"a shape like {fits}, for which it was built",
                                f"{type(self).__name__}(...) anew for {shape[-1] if shape else 'scalar'} inputs")

    def check_values(self, x: np.ndarray, name: str) -> None:
        """An error for data, called ``name``, whose numbers the layer cannot take."""

    def add_loss(self, loss: Any) -> None:
        """Add a number to the loss of this call; used inside of ``call``."""
        call = CALL.get()
        if call is not None:
            call.losses.append(loss)

    @property
    def losses(self) -> list[Any]:
        """What the last call outside of a model added to its loss, and the regularizers of the weights."""
        return [*self._added, *penalties(self.trainable_weights)]

    def next_key(self, seed: int | None = None) -> Any:
        """A key of its own for each call, for layers that draw random numbers while training.

        Args:
            seed: a seed of the layer's own, which makes its numbers independent of other layers.
        """
        call = CALL.get() or Call()
        if seed is None:
            return call.next_key()
        self._drawn += 1
        return random.fold_in(random.key(seed), self._drawn if call.step is None else call.step)

    def stateless_call(self, trainable_variables: Sequence[Any], non_trainable_variables: Sequence[Any], *args: Any,
                       training: bool = False, return_losses: bool = False, key: Any = None, step: Any = None,
                       **options: Any) -> tuple[Any, ...]:
        """A pure function: the outputs for given weights, and the state after the call.

        Args:
            trainable_variables: arrays in place of ``trainable_weights``.
            non_trainable_variables: arrays in place of ``non_trainable_weights``.
            args: of the call.
            training: whether layers behave as in training.
            return_losses: whether to return what regularizers and ``add_loss`` add to the loss.
            key: of random numbers while training; None draws one.
            step: the number of the training step.
            options: other arguments of the call.

        Returns:
            ``(outputs, non_trainable_variables)``, or ``(outputs, non_trainable_variables, losses)``.

        Example:
            >>> layer = Dense(2, use_bias=False)
            >>> layer.build((None, 3))
            >>> layer.stateless_call([np.ones((3, 2))], [], np.ones((1, 3)))[0]
            array([[3., 3.]], dtype=float32)
        """
        call = Call(training, random.key if key is None else lambda: key, step)
        weights = self.trainable_weights
        trained = list(trainable_variables)
        if len(trained) == len(weights) and weights != self.arranged()[0]:
            given = dict(zip(weights, trained, strict=True))
            trained = [given[w] for w in self.arranged()[0]]
        result = self.run(call, trained, non_trainable_variables, *args, **options)
        return result if return_losses else result[:2]

    def run(self, call: Call, trained: Sequence[Any], others: Sequence[Any], *args: Any,
            **options: Any) -> tuple[Any, list[Any], list[Any]]:
        """:meth:`stateless_call` for a ``call`` that the caller keeps, with arrays in the order of :meth:`arranged`."""
        trainable, state = self.arranged()
        with self.standing_in(trained, others), calling(call):
            result = self(*args, training=call.training, **options)
            return result, [w.value for w in state], [*call.losses, *penalties(trainable)]

    def arranged(self) -> tuple[list[Weight], list[Weight]]:
        """The weights that are trained, and the others, in the order in which programs take them."""
        return self.trainable_weights, self.non_trainable_weights

    @contextmanager
    def standing_in(self, trained: Sequence[Any], others: Sequence[Any]) -> Iterator[None]:
        """Inside, arrays in the order of :meth:`arranged` stand for the weights."""
        trainable, state = self.arranged()
        weights, values = [*trainable, *state], [*trained, *others]
        if len(trained) != len(trainable) or len(others) != len(state):
            raise ArgumentError.of(f"layer {self.name!r} got {len(trained)} and {len(others)} arrays for its "
                                   f"{len(trainable)} trainable and {len(state)} other weights", "one for each",
                                   "[w.value for w in model.trainable_weights]")
        before = [w.traced for w in weights]
        for weight, value in zip(weights, values, strict=True):
            weight.traced = as_input(value, weight.dtype)
        try:
            yield
        finally:
            for weight, value in zip(weights, before, strict=True):
                weight.traced = value

    def compute_output_shape(self, *input_shapes: Any, **named: Any) -> Any:
        """The shape of the output for inputs of these shapes, or a container of them; the layer stays as it is.

        Args:
            input_shapes: for each argument of ``call`` a shape, or a list of them; None for an extent not known.
            named: the same by name: ``query_shape``, ``value_shape``.

        Example:
            >>> Conv2D(8, 3).compute_output_shape((None, 28, 28, 1))
            (None, 26, 26, 8)
        """
        given = [shape for shape in (*input_shapes, *named.values()) if shape is not None]
        layer = self if self.built else copy.deepcopy(self)
        leaves = [(shape, self.input_dtype or FLOAT) for shape in leaves_of(given)]
        found, structure = output_shapes(lambda *values: layer(*filled_in(given, iter(values))), leaves)
        return tree.unflatten(structure, [shape for shape, _ in found])

    # -- configuration

    def get_config(self) -> dict[str, Any]:
        """The arguments that make a layer like this one, as plain data: numbers, strings, lists, dicts.

        Example:
            >>> Dropout(0.5, name="drop").get_config()
            {'rate': 0.5, 'noise_shape': None, 'seed': None, 'name': 'drop', 'trainable': True}
        """
        policy = {} if self._policy == "float32" else {"dtype_policy": self._policy}
        return {**config.arguments_of(self, *self._given), **policy}

    @classmethod
    def from_config(cls, config_: dict[str, Any]) -> Any:
        """A layer from what :meth:`get_config` gave; its weights are new.

        Example:
            >>> Dense.from_config(Dense(4, activation="relu").get_config())
            Dense(4, activation='relu')
        """
        with precision.under(config_.get("dtype_policy", "float32")):
            return cls(**{name: config.deserialize(value) for name, value in config_.items() if name != "dtype_policy"})

    # -- where the layer stands in models

    @property
    def output(self) -> Any:
        """The symbolic output, where the layer was applied once while a model was put together."""
        return self._only_step("output").outputs

    @property
    def input(self) -> Any:
        """The symbolic input, where the layer was applied once while a model was put together."""
        args = self._only_step("input").args
        return args[0] if len(args) == 1 else args

    def _only_step(self, what: str) -> Any:
        steps = [step for step in (reference() for reference in self._inbound) if step is not None]
        if len({id(tree.flatten(s.outputs)[0][0]) for s in steps}) != 1:
            raise ArgumentError.of(f"layer {self.name!r} was applied {len(steps)} times in models: no one {what}",
                                   "a layer of one model, which knows the shape of its input",
                                   "model.layers[0].output")
        return steps[0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.describe()})"

    def describe(self) -> str:
        """The arguments that matter, for ``repr``."""
        return ""


_HOLDERS = (Layer, list, dict)  # what may hold layers, with their weights

__all__ = ["FLOAT", "Layer", "Shape", "Weight", "as_input", "assign", "layer_name", "unique_names"]
