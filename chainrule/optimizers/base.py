"""What all optimizers share: learning rate and schedules, clipping, weight decay, averages, and a pure interface."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import signature
from typing import Any, ClassVar, Self, TypedDict, Unpack

import numpy as np

from chainrule import tree
from chainrule.arguments import not_negative, positive, share, whole
from chainrule.configuration import Configured
from chainrule.errors import ArgumentError, UsageError
from chainrule.ops import elementwise as ew
from chainrule.optimizers.layout import Layout
from chainrule.optimizers.schedules import LearningRateSchedule
from chainrule.recorded import STEP

State = dict[str, Any]
Rate = float | LearningRateSchedule | Callable[[], float]

# the state that is not the rule's own
_AVERAGE, _GATHERED = "average", "gathered"
_UNDECAYED = "exclude_from_weight_decay"  # beside the arguments in a configuration


class Options(TypedDict, total=False):
    """The arguments that every optimizer takes by name; :class:`Optimizer` says what they do."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    name: str | None


class Optimizer(Configured):
    """A rule that changes parameters by their gradients.

    The interface is a pair of pure functions on arrays of one shape, usually one flat vector of all parameters:
    ``init(params) -> state`` and ``update(params, grads, state, learning_rate, step) -> (params, state)``. They work on
    concrete and on recorded arrays alike. A subclass defines :meth:`start` and :meth:`rule`.

    The learning rate is an input of what is compiled: changing it compiles nothing. A schedule is compiled in.

    Args:
        learning_rate: a number; a schedule from :mod:`chainrule.optimizers.schedules`; or a function without arguments,
            which is asked for it whenever Python has its turn: before each epoch, and where batches have hooks.
        weight_decay: the share of the parameters, times the learning rate, that each step takes away first.
        clipnorm: the largest norm of the gradient of one parameter array; larger ones are scaled down.
        clipvalue: the largest element of a gradient; larger ones are cut.
        global_clipnorm: the largest norm of all gradients together. At most one of the three may be given.
        use_ema: whether a running mean of the parameters is kept, which replaces them at the end of ``fit``.
        ema_momentum: how much of that mean is kept at each step.
        ema_overwrite_frequency: replace the parameters by the mean every so many steps.
        loss_scale_factor: the loss is multiplied, the gradients divided by it.
        gradient_accumulation_steps: add up the gradients of so many batches before their mean makes a step.
        name: of the optimizer.

    The steps of an update, in the order of Keras: gather, clip, decay, the rule, average.
    """

    kind = "optimizer"

    evaluates = False  # whether a step needs the loss at other points: see :class:`Search`
    uses_gradient = True
    whole_data = False  # whether it wants all samples as one batch
    options_taken: ClassVar[tuple[str, ...]] = tuple(Options.__annotations__)

    def __init__(self, learning_rate: Rate, weight_decay: float | None = None, **options: Unpack[Options]) -> None:
        unknown = sorted(set(options) - set(Options.__annotations__))
        if unknown:
            raise ArgumentError.of(f"{type(self).__name__} got an unknown argument {unknown[0]!r}",
                                   f"one of {', '.join(Options.__annotations__)}",
                                   f"{type(self).__name__}(clipnorm=1.0)")
        self.rate = np.zeros((), np.float32)  # read by the running program
        self.iterations: Any = np.zeros((), np.int64)  # steps made; a model that trains lends its own count
        self.schedule: LearningRateSchedule | None = None
        self._asked: Callable[[], float] | None = None  # the function that knows the learning rate
        self._alone: tuple[list[Any], Layout, State] | None = None  # weights and state where no model keeps them
        self.learning_rate = learning_rate
        self.weight_decay = None if weight_decay is None else not_negative("weight_decay", weight_decay)
        self.name = options.get("name") or type(self).__name__.lower()
        self._take(options)

    def _take(self, options: Options) -> None:
        """The options, checked."""
        clips = {k: options.get(k) for k in ("clipnorm", "clipvalue", "global_clipnorm")}
        given = [k for k, v in clips.items() if v is not None]
        if len(given) > 1:
            raise ArgumentError.of(f"{' and '.join(given)} together", "one way to clip",
                                   f"{type(self).__name__}({given[0]}={clips[given[0]]})")
        clipped = {k: None if v is None else positive(k, v) for k, v in clips.items()}
        self.clipnorm, self.clipvalue, self.global_clipnorm = clipped.values()
        self.use_ema = bool(options.get("use_ema", False))
        self.ema_momentum = share("ema_momentum", options.get("ema_momentum", 0.99), one=True)
        frequency, gathered = options.get("ema_overwrite_frequency"), options.get("gradient_accumulation_steps")
        self.ema_overwrite_frequency = None if frequency is None else whole("ema_overwrite_frequency", frequency)
        factor = options.get("loss_scale_factor")
        self.loss_scale_factor = None if factor is None else positive("loss_scale_factor", factor)
        self.gradient_accumulation_steps = (
            None if gathered is None else whole("gradient_accumulation_steps", gathered, least=2))
        self._undecayed: tuple[str, ...] = ()
        self._undecayed_weights: tuple[Any, ...] = ()

    @property
    def learning_rate(self) -> float:
        """The size of a step; may be set at any time, also by a callback while ``fit`` runs.

        With a schedule it is the rate of the next step. A number in place of a schedule, or a schedule in place
        of a number, makes ``fit`` compile its programs anew.
        """
        if self.schedule is not None:
            return float(self.schedule(int(self.iterations)))
        self.ask()
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        if isinstance(value, LearningRateSchedule):
            self.schedule, self._asked = value, None
            return
        asked = None
        if callable(value):
            asked, value = value, _answer(value)
        self._learning_rate = not_negative("learning_rate", value)
        self.schedule, self._asked = None, asked
        self.rate[...] = self._learning_rate

    @property
    def has_number(self) -> bool:
        """Whether the learning rate is a number: what somebody has set, and no schedule or function knows."""
        return self.schedule is None and self._asked is None

    def ask(self) -> None:
        """Take the learning rate from the function that was given for it, if one was."""
        if self._asked is not None:
            self._learning_rate = not_negative("learning_rate", self._asked())
            self.rate[...] = self._learning_rate

    def exclude_from_weight_decay(self, var_list: Sequence[Any] | None = None,
                                  var_names: Sequence[str] | None = None) -> None:
        """Leave parameters out of the weight decay; to be called before ``fit``.

        Args:
            var_list: weights of the model's layers.
            var_names: regular expressions, looked for in the names of weights, such as ``["bias"]``.

        Example:
            >>> optimizer = AdamW()
            >>> optimizer.exclude_from_weight_decay(var_names=["bias"])
        """
        self._undecayed = (*self._undecayed, *(var_names or ()))
        self._undecayed_weights = (*self._undecayed_weights, *(var_list or ()))

    @property
    def key(self) -> tuple[Any, ...]:
        """What of the optimizer is compiled in and may change after ``compile``."""
        return self.schedule, self._undecayed, self._undecayed_weights

    # -- configuration

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an optimizer like this one, with the learning rate that it has now.

        Example:
            >>> from chainrule.optimizers import SGD
            >>> config = SGD(0.1, momentum=0.9).get_config()
            >>> SGD.from_config(config).momentum, config["learning_rate"]
            (0.9, 0.1)
        """
        kept = {_UNDECAYED: list(self._undecayed)} if self._undecayed else {}
        return {**super().get_config(), **kept}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
        """An optimizer from what :meth:`get_config` gave; it has made no steps."""
        made = super().from_config({k: v for k, v in config.items() if k != _UNDECAYED}, custom_objects)
        made._undecayed = tuple(config.get(_UNDECAYED, ()))
        return made

    def _now(self) -> dict[str, Any]:
        rate = {} if type(self).learning_rate is not Optimizer.learning_rate else {
            "learning_rate": self.schedule or self._asked or self._learning_rate}
        return {**rate, **{name: getattr(self, name) for name in self.options_taken}}

    # -- the interface

    def init(self, params: Any, layout: Layout | None = None) -> State:
        """The state before the first step, for parameters like ``params``."""
        state = self.start(params, layout or Layout.of(params))
        if self.use_ema:
            state[_AVERAGE] = np.zeros_like(params)
        if self.gradient_accumulation_steps:
            state[_GATHERED] = np.zeros_like(params)
        return state

    def update(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any = 0,
               layout: Layout | None = None) -> tuple[Any, State]:
        """One step: the new parameters and the new state.

        Args:
            params: the parameters, in one array.
            grads: the gradient of what is minimized, of the same shape.
            state: from :meth:`init` or from the last step.
            learning_rate: a scalar; usually ``self.learning_rate``. A schedule of the optimizer goes before it.
            step: how many steps were made before.
            layout: the arrays that ``params`` holds; by default it is one array.
        """
        layout = layout or Layout.of(params)
        if self.schedule is not None:
            learning_rate = self.schedule(step)
        own = {k: v for k, v in state.items() if k not in (_AVERAGE, _GATHERED)}
        gathered = self.gradient_accumulation_steps
        if not gathered:
            new, after = self._stepped(params, grads, own, learning_rate, step, layout)
        else:
            total, count = state[_GATHERED] + grads, step
            due = ew.eq((count + 1) % gathered, 0)
            step = count // gathered
            moved, made = self._stepped(params, total * (1.0 / gathered), own, learning_rate, step, layout)
            new = ew.select(due, moved, params)
            after = tree.map_leaves(lambda made, kept: ew.select(due, made, kept), made, own)
            after[_GATHERED] = ew.select(due, np.zeros_like(params), total)
        if self.use_ema:
            new, after[_AVERAGE] = self._averaged(new, state[_AVERAGE], step)
        return new, after

    def start(self, params: Any, layout: Layout) -> State:
        """The rule's own state before the first step."""
        return {}

    def rule(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any,
             layout: Layout) -> tuple[Any, State]:
        """The step itself, after clipping and weight decay."""
        raise NotImplementedError

    def finalize(self, params: np.ndarray, state: State) -> None:
        """At the end of ``fit``: the running mean, if one is kept, replaces the parameters."""
        if self.use_ema and np.any(state[_AVERAGE]):  # before the first step it is 0
            params[...] = state[_AVERAGE]

    def loss_scale(self, state: State) -> Any:
        """What the loss is multiplied by before it is differentiated; None for nothing."""
        return self.loss_scale_factor

    # -- steps of one's own

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None) -> None:
        """Change weights by their gradients, at once or, inside of a ``train_step``, in the program that is recorded.

        Args:
            grads: one for each weight; weights with None are left as they are.
            trainable_variables: weights of layers, the same ones each time; None for those of the first time.

        Example:
            >>> from chainrule.layers import Dense
            >>> from chainrule.optimizers import SGD
            >>> layer = Dense(1, kernel_initializer="ones", use_bias=False)
            >>> layer.build((None, 1))
            >>> SGD(0.5).apply([np.ones((1, 1))], layer.trainable_weights)
            >>> layer.kernel
            array([[0.5]], dtype=float32)
        """
        if trainable_variables is None:
            if self._alone is None:
                raise ArgumentError.of("the first apply without weights", "the weights that the gradients are for",
                                       "optimizer.apply(gradients, model.trainable_weights)")
            trainable_variables = self._alone[0]
        grads, weights = list(grads), list(trainable_variables)
        if len(grads) != len(weights):
            raise ArgumentError.of(f"apply got {len(grads)} gradients for {len(weights)} weights", "one for each",
                                   "optimizer.apply(gradients, model.trainable_weights)")
        if not grads:  # of a model without trainable weights
            return
        pairs = [(g, w) for g, w in zip(grads, weights, strict=True) if g is not None]
        grads, weights = [g for g, _ in pairs], [w for _, w in pairs]
        step = STEP.get()
        if step is not None:
            step.apply(self, grads, weights)
        else:
            self._apply(grads, weights)

    def apply_gradients(self, grads_and_vars: Iterable[tuple[Any, Any]]) -> None:
        """:meth:`apply` for pairs of a gradient and a weight."""
        pairs = list(grads_and_vars)
        self.apply([g for g, _ in pairs], [w for _, w in pairs])

    def scale_loss(self, loss: Any) -> Any:
        """The loss as it is to be differentiated: :meth:`apply` divides the gradients by the same factor."""
        step = STEP.get()
        scale = step.scale(self) if step is not None else self.loss_scale(self._alone[2] if self._alone else {})
        return loss if scale is None else loss * as_dtype(scale, loss)

    def _apply(self, grads: list[Any], weights: list[Any]) -> None:
        """:meth:`apply` at once, with a state that the optimizer keeps."""
        if self.evaluates or not self.uses_gradient:
            raise UsageError.of(f"{type(self).__name__}.apply: this rule takes no gradients of others",
                                "cr.minimize, or fit", f"model.compile({type(self).__name__}(), loss='mse')")
        arrays = [w.array for w in weights]
        place = Layout([w.name for w in weights], [a.shape for a in arrays], weights)
        flat = np.concatenate([a.reshape(-1) for a in arrays])
        if self._alone is None:
            self.iterations = np.zeros((), np.int64)
            self._alone = weights, place, self.init(flat, place)
        elif self._alone[0] != weights:
            raise ArgumentError.of(f"apply got the weights {', '.join(w.name for w in weights)}, and before "
                                   f"{', '.join(w.name for w in self._alone[0])}", "the same ones each time",
                                   "another optimizer for other weights")
        state = self._alone[2]
        given, scale = place.join([np.asarray(g, flat.dtype) for g in grads]), self.loss_scale(state)
        given = given if scale is None else given / as_dtype(scale, given)
        new, after = self.update(flat, given, state, np.float64(self.learning_rate), np.int64(self.iterations), place)
        self._alone = weights, place, after
        self.iterations[...] += 1
        for weight, value in zip(weights, place.split(new), strict=True):
            weight.assign(value if weight.constraint is None else weight.constraint(value))

    # -- what surrounds the rule

    def _stepped(self, params: Any, grads: Any, state: State, learning_rate: Any, step: Any,
                 layout: Layout) -> tuple[Any, State]:
        grads = self._clipped(grads, layout)
        return self.rule(self._decayed(params, learning_rate, layout), grads, state, learning_rate, step, layout)

    def _clipped(self, grads: Any, layout: Layout) -> Any:
        if self.clipvalue is not None:
            return ew.minimum(ew.maximum(grads, -self.clipvalue), self.clipvalue)
        if self.global_clipnorm is not None:
            return grads * shrinking(grads, self.global_clipnorm)
        if self.clipnorm is not None:
            limit = self.clipnorm
            return layout.map(lambda g: g * shrinking(g, limit), grads)
        return grads

    def _decayed(self, params: Any, learning_rate: Any, layout: Layout) -> Any:
        excluded = layout.matches(self._undecayed, self._undecayed_weights)
        decays = [0.0 if out else decay for decay, out in zip(self._decays(layout), excluded, strict=True)]
        if not any(decays):
            return params
        if len(set(decays)) == 1:
            return params - params * as_dtype(learning_rate * decays[0], params)
        return params - params * (as_dtype(learning_rate, params) * layout.each(decays, params.dtype))

    def _decays(self, layout: Layout) -> list[float]:
        """The weight decay of each parameter array."""
        return [self.weight_decay or 0.0] * len(layout.shapes)

    def _averaged(self, params: Any, average: Any, step: Any) -> tuple[Any, Any]:
        kept = as_dtype(ew.select(ew.gt(step, 0), np.float64(self.ema_momentum), np.float64(0.0)), params)
        average = average * kept + params * (1 - kept)
        if self.ema_overwrite_frequency:
            params = ew.select(ew.eq((step + 1) % self.ema_overwrite_frequency, 0), average, params)
        return params, average

    def __repr__(self) -> str:
        shown = {"learning_rate": self.schedule or self._asked or self._learning_rate}
        own = {k: v for k, v in vars(self).items() if k not in _COMMON and not k.startswith("_")}
        common = {k: v for k, v in vars(self).items() if k in _DEFAULTS and v != _DEFAULTS[k]}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in {**shown, **own, **common}.items())})"


_DEFAULTS: dict[str, Any] = {
    "weight_decay": None, "clipnorm": None, "clipvalue": None, "global_clipnorm": None, "use_ema": False,
    "ema_momentum": 0.99, "ema_overwrite_frequency": None, "loss_scale_factor": None,
    "gradient_accumulation_steps": None}
_COMMON = {"rate", "iterations", "schedule", "name", *_DEFAULTS}


class Search(Optimizer):
    """An optimizer whose step asks for the loss at points of its own choice.

    A subclass defines :meth:`search` in place of :meth:`rule`. Where the loss is that of a minibatch, all points of
    one step are judged by the same batch.
    """

    evaluates = True
    options_taken = ("use_ema", "ema_momentum", "ema_overwrite_frequency", "name")

    def _take(self, options: Options) -> None:
        wrong = sorted(set(options) - set(self.options_taken))
        if wrong:
            raise ArgumentError.of(f"{type(self).__name__} with {wrong[0]}", "use_ema and what belongs to it",
                                   f"{type(self).__name__}()")
        super()._take(options)

    def searched(self, evaluate: Callable[[Any], tuple[Any, Any]], params: Any, value: Any, grads: Any, state: State,
                 learning_rate: Any, step: Any = 0) -> tuple[Any, State]:
        """One step with all that surrounds it, as :meth:`Optimizer.update`; the arguments are those of ``search``."""
        if self.schedule is not None:
            learning_rate = self.schedule(step)
        own = {k: v for k, v in state.items() if k != _AVERAGE}
        new, after = self.search(evaluate, params, value, grads, own, learning_rate, step)
        if self.use_ema:
            new, after[_AVERAGE] = self._averaged(new, state[_AVERAGE], step)
        return new, after

    def search(self, evaluate: Callable[[Any], tuple[Any, Any]], params: Any, value: Any, grads: Any, state: State,
               learning_rate: Any, step: Any) -> tuple[Any, State]:
        """One step.

        Args:
            evaluate: gives the loss and its gradient at a vector of parameters.
            params: the parameters, in one vector.
            value: the loss there.
            grads: the gradient there.
            state: from :meth:`init` or from the last step.
            learning_rate: a scalar.
            step: how many steps were made before.
        """
        raise NotImplementedError


def _answer(function: Callable[[], Any]) -> Any:
    """The learning rate that a function knows; an error for one that would have to be told something."""
    try:
        signature(function).bind()
    except TypeError:
        raise ArgumentError.of(f"got learning_rate={getattr(function, '__name__', function)!r}, which takes arguments",
                               "a function without any, or a LearningRateSchedule, which is told the step",
                               "Adam(schedules.ExponentialDecay(0.01, 1000, 0.5))") from None
    return function()


def as_dtype(scalar: Any, like: Any) -> Any:
    """A scalar in the dtype of an array."""
    return scalar.astype(like.dtype) if hasattr(scalar, "astype") else np.asarray(scalar, like.dtype)


def shrinking(x: Any, limit: float) -> Any:
    """The factor, at most 1, that brings the norm of ``x`` down to ``limit``."""
    return limit / np.maximum(norm(x), limit)


def norm(x: Any) -> Any:
    """The Euclidean norm of all elements."""
    return np.sqrt(np.sum(x * x))


def power(base: float, exponent: Any) -> Any:
    """A base from 0 to 1 to a power of 1 or more, in float64."""
    return np.exp(exponent * math.log(base)) if base > 0 else np.float64(0.0)


__all__ = ["Optimizer", "Options", "Rate", "Search", "State", "as_dtype", "norm", "power", "shrinking"]
