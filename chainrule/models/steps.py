"""The steps of training that a model may define anew: ``train_step``, ``test_step``, ``compute_loss`` and others.

What they call is recorded: a step is Python that runs once, and native code that runs for every batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any, TypeVar

from chainrule import tree
from chainrule.errors import UsageError
from chainrule.layers.base import Layer
from chainrule.layers.context import CALL
from chainrule.layers.parts import shapes_of
from chainrule.metrics import Metric
from chainrule.optimizers.base import Optimizer
from chainrule.recorded import STEP, Reported
from chainrule.training import targets
from chainrule.training.objective import Objective, Plan
from chainrule.training.steps import samples_of, unpacked

F = TypeVar("F", bound=Callable[..., Any])


def _default(method: F) -> F:
    """Mark a method that programs know by heart, as long as no subclass has one of its own."""
    method.default = True  # type: ignore[attr-defined]
    return method


class Steps(Layer):
    """What one batch does; a subclass of :class:`~chainrule.models.Model` may define any of it anew.

        class Twice(Model):
            def train_step(self, data):
                x, y = data
                predicted = self(x, training=True)
                loss = self.compute_loss(x, y, predicted)
                gradients = self.gradients(loss, self.trainable_weights)
                self.optimizer.apply(gradients, self.trainable_weights)
                return {"loss": loss, **self.compute_metrics(x, y, predicted)}

    ``data`` is ``x``, ``(x, y)`` or ``(x, y, sample_weight)``, as given to ``fit``. Python runs once, while the step is
    recorded: conditions on numbers are ``np.where`` or ``cr.cond``, and random numbers come from
    ``cr.random`` with ``self.next_key()``. What is returned is reported: numbers as their mean over the samples of the
    epoch, results of metrics as the metrics of the epoch.
    """

    optimizer: Optimizer | None
    _plan: Plan | None
    _judging: dict[Any, Objective]
    _loss_tracker: Metric

    @_default
    def train_step(self, data: Any) -> dict[str, Any]:
        """One step on a batch: predict, differentiate, update.

        Args:
            data: ``x``, ``(x, y)`` or ``(x, y, sample_weight)``.

        Returns:
            What is reported, by name.
        """
        x, y, weights = unpacked(data)
        predicted = self(x, training=True)
        loss = self._loss(x, y, predicted, weights, True)
        optimizer, trained = self.optimizer, self.trainable_weights
        assert optimizer is not None
        optimizer.apply(self.gradients(optimizer.scale_loss(loss), trained), trained)
        return {"loss": loss, **self.compute_metrics(x, y, predicted, weights)}

    @_default
    def test_step(self, data: Any) -> dict[str, Any]:
        """Judge a batch; see :meth:`train_step`."""
        x, y, weights = unpacked(data)
        predicted = self(x, training=False)
        loss = self._loss(x, y, predicted, weights, False)
        return {"loss": loss, **self.compute_metrics(x, y, predicted, weights)}

    @_default
    def predict_step(self, data: Any) -> Any:
        """What ``predict`` gives for a batch."""
        return self(unpacked(data)[0], training=False)

    @_default
    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
                     training: bool = True) -> Any:
        """The loss of a batch: that of ``compile``, with what regularizers and ``add_loss`` add.

        Args:
            x: a batch.
            y: its targets.
            y_pred: what the model predicted.
            sample_weight: how much each sample counts.
            training: whether the model is trained on it.
        """
        total: Any = None
        if self._plan is not None and self._plan.loss is not None:
            objective, given, mask = self._judge(y, y_pred, sample_weight)
            total = objective.measured(objective.zeros(), given, y_pred, (), mask)[0]
        for each in self.losses:
            total = each if total is None else total + each
        if total is None:
            raise UsageError.of(f"model {self.name!r} was compiled without a loss, and its layers add none",
                                "a loss that says what to make small, or a compute_loss of the model's own",
                                "model.compile(loss='binary_crossentropy', optimizer='adam')")
        return total

    def _loss(self, x: Any, y: Any, y_pred: Any, weights: Any, training: bool) -> Any:
        """:meth:`compute_loss`, also where a subclass has one without ``training``."""
        told = {"training": training} if "training" in signature(self.compute_loss).parameters else {}
        return self.compute_loss(x, y, y_pred, weights, **told)

    @_default
    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Update the metrics of ``compile``; their results by name, which a step returns as they are.

        Beside them those of metrics stored as attributes that this step has updated.
        """
        step, found = STEP.get(), {}
        own = {m.name: m.result() for m in self._own_metrics() if step is not None and step.updated(m)}
        if self._plan is None or not (self._plan.metrics or self._plan.weighted_metrics or len(_leaves(y_pred)) > 1):
            return own
        objective, given, mask = self._judge(y, y_pred, sample_weight)
        sums = objective.measured(objective.zeros(), given, y_pred, (), mask)[1]
        rows = samples_of(y_pred)
        for output in objective.outputs:
            if len(objective.outputs) > 1 and output.loss is not None:
                name = f"{output.prefix}loss"
                found[name] = sums[name]["total"] * (1.0 / rows)
            for each in output.metrics:
                if step is None:
                    found[each.name] = each.metric.outcome(sums[each.name], rows)
                else:
                    step.add(each.metric, sums[each.name], rows)
                    found[each.name] = Reported(each.metric)
        return {**found, **own}

    def gradients(self, loss: Any, by: Any = None) -> Any:
        """The derivatives of a loss that was computed in this step.

        Args:
            loss: a number.
            by: weights, or arrays computed in this step; one of them, or a list. By default all that is trained.

        Returns:
            An array for each, zeros for what the loss does not depend on. They are part of the step like all else, so
            a loss may be made of them (a gradient penalty) and differentiated again.

        Raises:
            UsageError: outside of a step, and for a loss that depends on none of them.
        """
        step = STEP.get()
        if step is None:
            raise UsageError.of("gradients outside of train_step", "a function that cr.value_and_grad differentiates",
                                "cr.value_and_grad(lambda w: loss(model.stateless_call(w, state, x)[0]))(weights)")
        return step.gradients(loss, self.trainable_weights if by is None else by)

    # -- metrics

    @property
    def metrics(self) -> list[Any]:
        """The metrics: of the loss, those of ``compile`` as one, and those stored as attributes."""
        own = self._own_metrics()
        if self._plan is None:
            return own
        compiled = [CompiledMetrics(self)] if self._plan.metrics or self._plan.weighted_metrics else []
        return [self._loss_tracker, *compiled, *own]

    def _own_metrics(self) -> list[Metric]:
        return [m for name, value in vars(self).items() if not name.startswith("_") for m in _metrics_in(value)]

    @property
    def metrics_names(self) -> list[str]:
        """Their names."""
        return [m.name for m in self.metrics]

    def reset_metrics(self) -> None:
        """Forget what the metrics stored as attributes have added up outside of ``fit``."""
        for metric in self.metrics:
            metric.reset_state()

    def get_metrics_result(self) -> dict[str, Any]:
        """The results of all :attr:`metrics` by name, for a step to return."""
        out: dict[str, Any] = {}
        for metric in self.metrics:
            result = metric.result()
            out |= result if isinstance(result, dict) else {metric.name: result}
        return out

    def output_names(self) -> list[str] | None:
        """The names of the outputs; None if nothing has named them."""
        return None

    def _judge(self, y: Any, y_pred: Any, weights: Any) -> tuple[Objective, Any, Any]:
        """The objective of ``compile`` for a batch, its targets with their weights, and the masks of the outputs."""
        assert self._plan is not None
        outputs = targets.outputs(shapes_of(y_pred), self.output_names())
        names = [name for name, _ in outputs]
        each = targets.in_order(y, names, self._plan.losses(names))
        spread = None if weights is None else targets.in_order(weights, names, None, each_output=False)
        call = CALL.get()
        mask = None if call is None else call.mask(y_pred)
        objective = self._known_objective(self._plan, outputs, each, weights is not None, mask is not None)
        return objective, {"targets": each, "weights": spread}, mask

    def _known_objective(self, plan: Plan, outputs: targets.Outputs, each: Sequence[Any], weighted: bool,
                         masked: bool) -> Objective:
        """What is made small and reported, for targets such as ``each`` of these outputs."""
        shapes = tuple([None if t is None else (None, *t.shape[1:]) for t in each])
        key = tuple(outputs), shapes, weighted, masked
        known = self._judging.get(key)
        if known is None:
            known = self._judging[key] = plan.objective([name for name, _ in outputs], shapes,
                                                        [shape for _, shape in outputs], weighted, masked)
        return known


class CompiledMetrics:
    """The metrics of ``compile`` as one, for a step that goes through ``self.metrics``."""

    name = "compile_metrics"

    def __init__(self, model: Steps) -> None:
        self._model = model

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CompiledMetrics) and other._model is self._model

    def __hash__(self) -> int:
        return id(self._model)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Update them all."""
        self._model._compiled_results = self._model.compute_metrics(None, y_true, y_pred, sample_weight)

    def result(self) -> dict[str, Any]:
        """Their results by name."""
        return self._model._compiled_results

    def reset_state(self) -> None:
        """Nothing: outside of a step they keep nothing."""


def _leaves(x: Any) -> list[Any]:
    return tree.flatten(x)[0]


def _metrics_in(value: Any) -> list[Metric]:
    if isinstance(value, Metric):
        return [value]
    return [m for each in value for m in _metrics_in(each)] if isinstance(value, list | tuple) else []


__all__ = ["CompiledMetrics", "Steps"]
