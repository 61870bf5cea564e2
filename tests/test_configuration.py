"""Objects as plain data and back: losses, metrics, optimizers, schedules, regularizers, constraints, initializers."""

import json

import numpy as np
import pytest

from chainrule import activations, constraints, initializers, losses, metrics, optimizers, regularizers
from chainrule.configuration import _CLASSES, Configured, custom_object_scope, deserialize, register, serialize
from chainrule.errors import ArgumentError, UsageError
from chainrule.layers import Dense, Identity
from chainrule.losses import Loss
from chainrule.optimizers import schedules

# arguments for what cannot be made without
NEEDED = {
    "MultiOptimizer": (optimizers.OptimizerMap(optimizers.SGD(), {"a.*": optimizers.Adam(0.01)}),),
    "OptimizerMap": (optimizers.SGD(0.1),), "MeanMetricWrapper": (losses.mean_squared_error,),
    "ExponentialDecay": (0.1, 10, 0.5), "InverseTimeDecay": (0.1, 10, 0.5), "PolynomialDecay": (0.1, 10),
    "PiecewiseConstantDecay": ([5, 9], [0.1, 0.2, 0.3]), "CosineDecay": (0.1, 10), "CosineDecayRestarts": (0.1, 10),
    "OneCycle": (0.1, 10), "LossScaleOptimizer": (optimizers.SGD(0.3),), "FunctionLoss": (losses.huber,),
    "FunctionMetric": (losses.mean_squared_error,), "PrecisionAtRecall": (0.5,), "RecallAtPrecision": (0.5,),
    "SensitivityAtSpecificity": (0.5,), "SpecificityAtSensitivity": (0.5,), "IoU": (3, [0]), "MeanIoU": (3,),
    "OneHotIoU": (3, [0]), "OneHotMeanIoU": (3,)}
BASES = {"AtLeast", "Loss", "Plain", "Metric", "MeanMetric", "OfLoss", "Confusion", "Optimizer", "Search",
         "LearningRateSchedule", "Regularizer", "Constraint", "Initializer"}
CASES = [(kind, name) for kind, classes in _CLASSES.items() if kind not in ("layer", "", "optimizer map")
         for name in sorted(classes) if name not in BASES and not name.startswith("_")]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_all_come_back(kind, name):
    made = _CLASSES[kind][name](*NEEDED.get(name, ()))
    data = json.loads(json.dumps(serialize(made)))  # plain
    assert data["kind"] == kind and data["class_name"] == name
    found = deserialize(data)
    assert type(found) is type(made) and repr(found) == repr(made)
    assert serialize(found) == data
    assert type(made).from_config(made.get_config()).get_config() == made.get_config()


def test_there_are_many():
    assert {kind for kind, _ in CASES} == {"loss", "metric", "optimizer", "schedule", "regularizer", "constraint",
                                           "initializer"}
    assert len(CASES) > 90


def test_what_has_changed_since():
    optimizer = optimizers.Adam(schedules.CosineDecay(0.1, 50), clipnorm=2.0, name="mine")
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    config = optimizer.get_config()
    assert config["learning_rate"]["class_name"] == "CosineDecay" and config["clipnorm"] == 2.0
    found = optimizers.deserialize(optimizers.serialize(optimizer))
    assert found.schedule.decay_steps == 50 and found.name == "mine" and found._undecayed == ("bias",)
    optimizer.learning_rate = 0.25
    assert optimizers.Adam.from_config(optimizer.get_config()).learning_rate == 0.25
    scaled = optimizers.LossScaleOptimizer(optimizers.SGD(0.5, momentum=0.9), initial_scale=4.0)
    found = optimizers.get(optimizers.serialize(scaled))
    assert found.inner_optimizer.momentum == 0.9 and found.learning_rate == 0.5 and found.initial_scale == 4.0


def test_names_that_several_kinds_have():
    assert isinstance(deserialize(serialize(metrics.Poisson())), metrics.Poisson)
    assert isinstance(deserialize(serialize(losses.Poisson())), losses.Poisson)
    assert isinstance(deserialize(serialize(initializers.Identity(2.0))), initializers.Identity)
    assert isinstance(deserialize(serialize(Identity())), Identity)
    layer = Dense(3, kernel_initializer=initializers.Identity(2.0), kernel_constraint=constraints.MaxNorm(1.5),
                  kernel_regularizer=regularizers.L1L2(0.1, 0.2), activation=activations.mish)
    found = Dense.from_config(json.loads(json.dumps(layer.get_config())))
    found.build((None, 3))
    np.testing.assert_array_equal(found.kernel, 2 * np.eye(3, dtype=np.float32))


def test_get_takes_configurations():
    for module, name, kind in ((losses, "Huber", Loss), (metrics, "AUC", metrics.Metric),
                               (optimizers, "SGD", optimizers.Optimizer), (regularizers, "L2", regularizers.L2),
                               (constraints, "NonNeg", constraints.NonNeg), (initializers, "Ones", initializers.Ones)):
        assert isinstance(module.deserialize({"class_name": name, "config": {}}), kind)
        with_kind = module.serialize(getattr(module, name)())
        assert isinstance(module.get(with_kind), kind)
    assert isinstance(schedules.deserialize({"class_name": "CosineDecay", "config": {
        "initial_learning_rate": 1.0, "decay_steps": 3}}), schedules.CosineDecay)


def test_ones_own():
    class Cubed(Loss):
        def __init__(self, factor=1.0, **options):
            super().__init__(**options)
            self.factor = factor

        def call(self, y_true, y_pred):
            return self.factor * np.mean(np.abs(y_true - y_pred) ** 3, axis=-1)

        def get_config(self):
            return {**super().get_config(), "factor": self.factor}
    data = losses.serialize(Cubed(2.0, name="cubed"))
    assert data["config"] == {"factor": 2.0, "name": "cubed"}
    with pytest.raises(ArgumentError, match=r"Unknown loss 'Cubed'") as error:
        losses.deserialize(data)
    assert "custom_objects" in "".join(error.value.__notes__)
    assert losses.deserialize(data, custom_objects={"Cubed": Cubed}).factor == 2.0
    with custom_object_scope({"Cubed": Cubed}):
        assert losses.get(data).name == "cubed"
    register(Cubed)
    assert losses.get(data).factor == 2.0
    with pytest.raises(UsageError, match="cannot be written as plain data"):
        serialize(lambda x: x)

    class Plain(Configured):
        def __init__(self, *many, inner=None):
            self.inner = inner
    assert Plain(inner=Dense).get_config() == {"inner": {"class": "Dense"}}
    assert deserialize({"class": "Dense"}) is Dense
