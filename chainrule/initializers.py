"""Initial weights: seeded by ``cr.set_seed``, or each by a seed of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from chainrule import configuration, random
from chainrule.arguments import not_negative, positive
from chainrule.configuration import Configured, serialize
from chainrule.errors import ArgumentError, unknown_name

Shape = Sequence[int]


class Initializer(Configured):
    """Makes the initial value of a weight: ``initializer(shape, dtype) -> array``.

    A subclass defines ``draw(shape, generator)``. With a ``seed`` it gives the same numbers at every call;
    without, it continues the process-wide generator that ``cr.set_seed`` seeds.
    """

    kind = "initializer"

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def __call__(self, shape: Shape, dtype: Any = np.float32) -> np.ndarray:
        """An array of ``shape``."""
        generator = random.generator() if self.seed is None else np.random.default_rng(self.seed)
        return np.ascontiguousarray(self.draw(tuple(shape), generator), dtype=dtype)

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """An array of ``shape`` from the NumPy ``generator``."""
        raise NotImplementedError

    def __repr__(self) -> str:
        given = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if v is not None)
        return f"{type(self).__name__}({given})"


class Constant(Initializer):
    """Every element is ``value``.

    Example:
        >>> Constant(3.0)((2,))
        array([3., 3.], dtype=float32)
    """

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = value

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """An array full of the value."""
        return np.full(shape, self.value)


class Zeros(Constant):
    """Every element is 0."""

    def __init__(self) -> None:
        super().__init__(0.0)


class Ones(Constant):
    """Every element is 1."""

    def __init__(self) -> None:
        super().__init__(1.0)


class RandomNormal(Initializer):
    """Normal numbers of the given mean and standard deviation.

    Example:
        >>> RandomNormal(stddev=0.01, seed=1)((2, 3)).shape
        (2, 3)
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        self.mean, self.stddev = mean, not_negative("stddev", stddev)

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """Normal numbers."""
        return generator.normal(self.mean, self.stddev, shape)


class TruncatedNormal(RandomNormal):
    """Normal numbers, those further than two standard deviations from the mean drawn anew."""

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """Normal numbers within two standard deviations."""
        return self.mean + self.stddev * _truncated(shape, generator)


class RandomUniform(Initializer):
    """Numbers spread evenly over ``[minval, maxval)``."""

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        if not minval <= maxval:
            raise ArgumentError.of(f"minval={minval} with maxval={maxval}", "minval at or below maxval",
                                   f"RandomUniform({maxval}, {minval})")
        self.minval, self.maxval = minval, maxval

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """Uniform numbers."""
        return generator.uniform(self.minval, self.maxval, shape)


class VarianceScaling(Initializer):
    """Numbers of variance ``scale / n`` where n counts a unit's inputs, outputs, or the mean of both.

    Args:
        scale: the factor of the variance.
        mode: ``fan_in``, ``fan_out`` or ``fan_avg``.
        distribution: ``truncated_normal``, ``untruncated_normal`` or ``uniform``.
        seed: a seed of its own; None continues the process-wide generator.
        input_axes: the axes of the weight that count inputs; with ``output_axes``.
        output_axes: those that count outputs.

    Unless the axes are given, the fans of a ``(…, inputs, outputs)`` weight include the extents before these two (a
    convolution's window).
    """

    modes = ("fan_in", "fan_out", "fan_avg")
    distributions = ("truncated_normal", "untruncated_normal", "uniform")

    def __init__(self, scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal",
                 seed: int | None = None, input_axes: Sequence[int] | None = None,
                 output_axes: Sequence[int] | None = None) -> None:
        super().__init__(seed)
        if (input_axes is None) != (output_axes is None):
            raise ArgumentError.of(f"input_axes={input_axes} with output_axes={output_axes}", "both or none",
                                   "VarianceScaling(input_axes=[0], output_axes=[1, 2])")
        self.input_axes, self.output_axes = input_axes, output_axes
        if mode not in self.modes:
            raise unknown_name("mode", mode, self.modes)
        if distribution not in self.distributions:
            raise unknown_name("distribution", distribution, self.distributions)
        self.scale = positive("scale", scale)
        self.mode, self.distribution = mode, distribution

    def along(self, input_axes: Sequence[int], output_axes: Sequence[int]) -> VarianceScaling:
        """The same for a weight whose axes are these, unless it was given axes of its own."""
        if self.input_axes is not None:
            return self
        return VarianceScaling(self.scale, self.mode, self.distribution, self.seed, input_axes, output_axes)

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """Numbers of the scaled variance."""
        fan_in, fan_out = fans(shape, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        deviation = math.sqrt(self.scale / max(1.0, fan))
        if self.distribution == "uniform":
            limit = math.sqrt(3.0) * deviation
            return generator.uniform(-limit, limit, shape)
        if self.distribution == "untruncated_normal":
            return generator.normal(0.0, deviation, shape)
        return deviation / _DEVIATION_OF_TRUNCATED * _truncated(shape, generator)


class GlorotUniform(VarianceScaling):
    """Uniform in ±√(6 / (inputs + outputs)).

    Example:
        >>> bool(abs(GlorotUniform(seed=0)((3, 3))).max() <= 1.0)
        True

    Source: Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010.
    """

    def __init__(self, seed: int | None = None, input_axes: Sequence[int] | None = None,
                 output_axes: Sequence[int] | None = None) -> None:
        super().__init__(1.0, "fan_avg", "uniform", seed, input_axes, output_axes)


class GlorotNormal(VarianceScaling):
    """Truncated normal of variance 2 / (inputs + outputs). Source: as :class:`GlorotUniform`."""

    def __init__(self, seed: int | None = None, input_axes: Sequence[int] | None = None,
                 output_axes: Sequence[int] | None = None) -> None:
        super().__init__(1.0, "fan_avg", "truncated_normal", seed, input_axes, output_axes)


class HeUniform(VarianceScaling):
    """Uniform in ±√(6 / inputs): for relu.

    Source: He, Zhang, Ren and Sun, "Delving deep into rectifiers", ICCV 2015.
    """

    def __init__(self, seed: int | None = None, input_axes: Sequence[int] | None = None,
                 output_axes: Sequence[int] | None = None) -> None:
        super().__init__(2.0, "fan_in", "uniform", seed, input_axes, output_axes)


class HeNormal(VarianceScaling):
    """Truncated normal of variance 2 / inputs: for relu. Source: as :class:`HeUniform`."""

    def __init__(self, seed: int | None = None, input_axes: Sequence[int] | None = None,
                 output_axes: Sequence[int] | None = None) -> None:
        super().__init__(2.0, "fan_in", "truncated_normal", seed, input_axes, output_axes)


class LecunUniform(VarianceScaling):
    """Uniform in ±√(3 / inputs).

    Source: LeCun, Bottou, Orr and Müller, "Efficient backprop", 1998.
    """

    def __init__(self, seed: int | None = None, input_axes: Sequence[int] | None = None,
                 output_axes: Sequence[int] | None = None) -> None:
        super().__init__(1.0, "fan_in", "uniform", seed, input_axes, output_axes)


class LecunNormal(VarianceScaling):
    """Truncated normal of variance 1 / inputs. Source: as :class:`LecunUniform`."""

    def __init__(self, seed: int | None = None, input_axes: Sequence[int] | None = None,
                 output_axes: Sequence[int] | None = None) -> None:
        super().__init__(1.0, "fan_in", "truncated_normal", seed, input_axes, output_axes)


class Orthogonal(Initializer):
    """A matrix with orthonormal rows or columns (whichever are fewer), times ``gain``.

    Source: Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks", ICLR 2014.
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = gain

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """The orthogonal factor of a normal matrix, its signs made unique."""
        if len(shape) < 2:
            raise ArgumentError.of(f"an orthogonal weight of shape {shape}", "at least two axes", "GlorotUniform()")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        q, r = np.linalg.qr(generator.normal(size=(max(rows, columns), min(rows, columns))))
        q = q * np.sign(np.diag(r))
        return self.gain * (q if rows >= columns else q.T).reshape(shape)


class Identity(Initializer):
    """The identity matrix times ``gain``.

    Example:
        >>> Identity()((2, 2))
        array([[1., 0.],
               [0., 1.]], dtype=float32)
    """

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = gain

    def draw(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """The matrix."""
        if len(shape) != 2:
            raise ArgumentError.of(f"an identity weight of shape {shape}", "two axes", "GlorotUniform()")
        return self.gain * np.eye(*shape)


def fans(shape: Shape, input_axes: Sequence[int] | None = None,
         output_axes: Sequence[int] | None = None) -> tuple[int, int]:
    """How many inputs and outputs a weight of ``shape`` connects: along given axes, or the last two and a window."""
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[a] for a in input_axes), math.prod(shape[a] for a in output_axes)
    if len(shape) < 2:
        n = shape[0] if shape else 1
        return n, n
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


# the standard deviation of a normal variable cut off at ±2
_DEVIATION_OF_TRUNCATED = 0.87962566103423978


def _truncated(shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
    values = np.asarray(generator.normal(size=shape))
    while True:
        outside = np.abs(values) > 2.0
        if not outside.any():
            return values
        values[outside] = generator.normal(size=int(outside.sum()))


_CLASSES: dict[str, Callable[[], Initializer]] = {
    "zeros": Zeros, "ones": Ones, "constant": Constant, "random_normal": RandomNormal,
    "random_uniform": RandomUniform, "truncated_normal": TruncatedNormal, "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal, "he_uniform": HeUniform, "he_normal": HeNormal, "lecun_uniform": LecunUniform,
    "lecun_normal": LecunNormal, "orthogonal": Orthogonal, "identity": Identity, "variance_scaling": VarianceScaling}
_BY_NAME = {**_CLASSES, **{c.__name__: c for c in _CLASSES.values()}, "uniform": RandomUniform,
            "normal": RandomNormal, "OrthogonalInitializer": Orthogonal, "IdentityInitializer": Identity}


# Keras's other names of the classes
zeros, ones, constant, identity, orthogonal = Zeros, Ones, Constant, Identity, Orthogonal
random_normal, random_uniform, truncated_normal = RandomNormal, RandomUniform, TruncatedNormal
variance_scaling, glorot_uniform, glorot_normal = VarianceScaling, GlorotUniform, GlorotNormal
he_uniform, he_normal, lecun_uniform, lecun_normal = HeUniform, HeNormal, LecunUniform, LecunNormal
IdentityInitializer, OrthogonalInitializer = Identity, Orthogonal


def deserialize(config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The initializer that ``serialize`` wrote down.

    Args:
        config: what it gave.
        custom_objects: classes and functions of the program by their names.
    """
    return configuration.deserialize(config, custom_objects, "initializer")


def get(identifier: str | Callable[..., Any]) -> Callable[..., Any]:
    """The initializer of a name, or the callable ``(shape, dtype) -> array`` itself.

    Example:
        >>> get("zeros")
        Zeros(value=0.0)
    """
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        if identifier in _BY_NAME:
            return _BY_NAME[identifier]()
        raise unknown_name("initializer", identifier, _CLASSES)
    if isinstance(identifier, type) and issubclass(identifier, Initializer):
        return identifier()
    if callable(identifier):
        return identifier
    raise ArgumentError.of(f"initializer {identifier!r}", "a name, an Initializer, or a function (shape, dtype)",
                           "kernel_initializer='glorot_uniform'")


__all__ = [
    "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "Initializer", "LecunNormal",
    "LecunUniform", "Ones", "Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling",
    "Zeros", "deserialize", "get", "serialize"]
