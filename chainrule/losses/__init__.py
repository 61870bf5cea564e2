"""Losses: what training makes small. Functions give a loss per sample; classes reduce it to one number a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chainrule import configuration
from chainrule.configuration import offer_functions, serialize
from chainrule.errors import ArgumentError, unknown_name
from chainrule.losses.base import Loss, average, is_label, matched, positions, snake_case
from chainrule.losses.crossentropy import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    sparse_categorical_crossentropy,
)
from chainrule.losses.ctc import CTC, ctc
from chainrule.losses.margin import (
    CategoricalHinge,
    Dice,
    Hinge,
    SquaredHinge,
    Tversky,
    categorical_hinge,
    dice,
    hinge,
    squared_hinge,
    tversky,
)
from chainrule.losses.regression import (
    CosineSimilarity,
    Huber,
    KLDivergence,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    cosine_similarity,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
)
from chainrule.losses.robust import (
    CategoricalGeneralizedCrossEntropy,
    Circle,
    categorical_generalized_cross_entropy,
    circle,
)


class FunctionLoss(Loss):
    """A loss from any function of ``(y_true, y_pred)`` that gives a loss per sample, or one number."""

    labels = "anything"

    def __init__(self, function: Callable[[Any, Any], Any], name: str | None = None) -> None:
        super().__init__(name or getattr(function, "__name__", "loss"))
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """What the function gives."""
        return self.function(y_true, y_pred)


# Every function with its class; the function's name is the loss's
_PAIRS: dict[Callable[..., Any], type[Loss]] = {
    binary_crossentropy: BinaryCrossentropy, categorical_crossentropy: CategoricalCrossentropy,
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy, binary_focal_crossentropy: BinaryFocalCrossentropy,
    categorical_focal_crossentropy: CategoricalFocalCrossentropy, hinge: Hinge, squared_hinge: SquaredHinge,
    categorical_hinge: CategoricalHinge, mean_squared_error: MeanSquaredError, mean_absolute_error: MeanAbsoluteError,
    mean_absolute_percentage_error: MeanAbsolutePercentageError,
    mean_squared_logarithmic_error: MeanSquaredLogarithmicError, huber: Huber, log_cosh: LogCosh, poisson: Poisson,
    kl_divergence: KLDivergence, cosine_similarity: CosineSimilarity, dice: Dice, tversky: Tversky, ctc: CTC,
    circle: Circle, categorical_generalized_cross_entropy: CategoricalGeneralizedCrossEntropy}
FUNCTIONS: dict[str, Callable[..., Any]] = {function.__name__: function for function in _PAIRS}
offer_functions(FUNCTIONS)
SHORT = {"bce": "binary_crossentropy", "mse": "mean_squared_error", "mae": "mean_absolute_error",
         "mape": "mean_absolute_percentage_error", "msle": "mean_squared_logarithmic_error", "kld": "kl_divergence",
         "logcosh": "log_cosh"}
_BY_NAME: dict[str, type[Loss]] = {
    **{name: _PAIRS[function] for name, function in FUNCTIONS.items()}, **{c.__name__: c for c in _PAIRS.values()},
    **{short: _PAIRS[FUNCTIONS[name]] for short, name in SHORT.items()},
    **{short.upper(): _PAIRS[FUNCTIONS[name]] for short, name in SHORT.items()}}


def deserialize(config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The loss that ``serialize`` wrote down.

    Args:
        config: what it gave.
        custom_objects: classes and functions of the program by their names.
    """
    return configuration.deserialize(config, custom_objects, "loss")


def get(identifier: str | Loss | Callable[[Any, Any], Any]) -> Loss:
    """The loss of a name, of a function ``(y_true, y_pred)``, or the loss itself.

    Example:
        >>> get("mse")
        MeanSquaredError()
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        if identifier in _BY_NAME:
            return _BY_NAME[identifier]()
        raise unknown_name("loss", identifier, [*FUNCTIONS, *SHORT])
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()
    if callable(identifier):
        known = _PAIRS.get(identifier)
        return FunctionLoss(identifier) if known is None else known()
    raise ArgumentError.of(f"got loss={identifier!r}", "a name, a Loss, or a function of (y_true, y_pred)",
                           "loss='binary_crossentropy'")


__all__ = [
    "CTC", "BinaryCrossentropy", "BinaryFocalCrossentropy", "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy", "CategoricalGeneralizedCrossEntropy", "CategoricalHinge", "Circle",
    "CosineSimilarity", "Dice", "FunctionLoss", "Hinge", "Huber", "KLDivergence", "LogCosh", "Loss",
    "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredError", "MeanSquaredLogarithmicError",
    "Poisson", "SparseCategoricalCrossentropy", "SquaredHinge", "Tversky", "average", "binary_crossentropy",
    "binary_focal_crossentropy", "categorical_crossentropy", "categorical_focal_crossentropy",
    "categorical_generalized_cross_entropy", "categorical_hinge", "circle", "cosine_similarity", "ctc",
    "deserialize", "dice", "get", "hinge", "huber", "is_label", "kl_divergence", "log_cosh", "matched",
    "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error", "mean_squared_logarithmic_error",
    "poisson", "positions", "serialize", "snake_case", "sparse_categorical_crossentropy", "squared_hinge",
    "tversky"]
