"""Small trainings whose histories are compared with Keras's; ``k`` is keras or chainrule."""

import numpy as np
from loss_cases import wave

X = wave(37, 6).astype(np.float32)
SCORES = (X @ wave(6, 3, phase=1.0)).astype(np.float32)
BITS = (SCORES[:, 0] > 0).astype(np.float32)
CLASSES = SCORES.argmax(1).astype(np.int32)
WEIGHTS = np.abs(wave(37, phase=4.0)).astype(np.float32)
VALIDATION = (wave(11, 6, phase=7.0).astype(np.float32), wave(11, 3, phase=8.0).astype(np.float32),
              np.abs(wave(11, phase=9.0)).astype(np.float32))
FIT = {"batch_size": 8, "epochs": 3, "shuffle": False, "verbose": 0}


def weights(*shapes):
    return [0.5 * wave(*shape, phase=2.0 + i) if len(shape) > 1 else np.zeros(shape) for i, shape in enumerate(shapes)]


def network(k, units, activation, **hidden):
    model = k.Sequential([k.layers.Input((6,)), k.layers.Dense(8, activation="tanh", **hidden),
                          k.layers.Dense(units, activation=activation)])
    model.set_weights(weights((6, 8), (8,), (8, units), (units,)))
    return model


def sample_weights(k):
    model = network(k, 3, None)
    model.compile(k.optimizers.SGD(0.1), "mse", metrics=["mae"], weighted_metrics=["mse", "cosine_similarity"])
    return model, model.fit(X, SCORES, sample_weight=WEIGHTS, validation_data=VALIDATION, **FIT)


def class_weights(k):
    model = network(k, 1, "sigmoid")
    model.compile(k.optimizers.Adam(0.05), "binary_crossentropy",
                  metrics=["accuracy", k.metrics.AUC(name="auc"), k.metrics.Precision(name="p")],
                  weighted_metrics=[k.metrics.BinaryAccuracy(name="w")])
    return model, model.fit(X, BITS, class_weight={0: 1.0, 1: 3.0}, **FIT)


def sparse_class_weights(k):
    model = network(k, 3, "softmax")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy", "sparse_top_k_categorical_accuracy"])
    return model, model.fit(X, CLASSES, class_weight={0: 0.5, 2: 2.0}, **FIT)


def regularized(k):
    r = k.regularizers
    model = network(k, 3, None, kernel_regularizer=r.L1L2(0.01, 0.02), bias_regularizer="l2",
                    activity_regularizer=r.L2(0.03))
    model.compile(k.optimizers.SGD(0.1, momentum=0.5, clipnorm=0.3), "huber", metrics=["mae"])
    return model, model.fit(X, SCORES, validation_data=VALIDATION[:2], **FIT)


def averaged(k):
    model = network(k, 3, None)
    rate = k.optimizers.schedules.CosineDecay(0.05, 12, warmup_target=0.2, warmup_steps=4)
    model.compile(k.optimizers.AdamW(rate, use_ema=True, ema_momentum=0.9), "log_cosh")
    return model, model.fit(X, SCORES, **FIT)


def accumulated(k):
    model = network(k, 3, None)
    model.compile(k.optimizers.Adam(0.05, gradient_accumulation_steps=2, global_clipnorm=0.5), "mse",
                  metrics=["r2_score", "root_mean_squared_error"])
    return model, model.fit(X, SCORES, **FIT)


def several_outputs(k):
    x = k.layers.Input((6,))
    h = k.layers.Dense(8, activation="tanh")(x)
    a = k.layers.Dense(3, name="a")(h)
    b = k.layers.Dense(1, activation="sigmoid", name="b")(h)
    model = k.Model(x, [a, b])
    model.set_weights(weights((6, 8), (8,), (8, 3), (3,), (8, 1), (1,)))
    model.compile(k.optimizers.SGD(0.1), {"a": "mse", "b": "binary_crossentropy"}, loss_weights={"a": 0.5, "b": 2.0},
                  metrics={"a": ["mae"], "b": ["accuracy"]})
    return model, model.fit(X, [SCORES, BITS[:, None]], **FIT)


CASES = {f.__name__: f for f in (
    sample_weights, class_weights, sparse_class_weights, regularized, averaged, accumulated, several_outputs)}
