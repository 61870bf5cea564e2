"""The optimizers and schedules compared with Keras's: a class and its arguments, in both libraries."""

import numpy as np

NAMES = ["dense/kernel", "dense/bias", "conv/kernel", "embedding/embeddings"]
SHAPES = [(4, 3), (3,), (2, 3, 2), (5, 2)]
STEPS = 20
KEPT = [0, 1, 4, 9, 19]  # the steps after which the parameters are compared

OPTIMIZERS = {
    "sgd": ("SGD", {"learning_rate": 0.05}),
    "sgd_momentum": ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    "sgd_nesterov": ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
    "sgd_decay": ("SGD", {"learning_rate": 0.05, "weight_decay": 0.1}),
    "rmsprop": ("RMSprop", {"learning_rate": 0.01}),
    "rmsprop_centered": ("RMSprop", {"learning_rate": 0.01, "rho": 0.8, "momentum": 0.5, "centered": True,
                                     "epsilon": 1e-5}),
    "adagrad": ("Adagrad", {"learning_rate": 0.3, "initial_accumulator_value": 0.5}),
    "adadelta": ("Adadelta", {"learning_rate": 1.0}),
    "adadelta_options": ("Adadelta", {"learning_rate": 0.5, "rho": 0.7, "epsilon": 1e-4}),
    "adam": ("Adam", {"learning_rate": 0.1}),
    "adam_amsgrad": ("Adam", {"learning_rate": 0.3, "beta_1": 0.5, "beta_2": 0.6, "amsgrad": True}),
    "adamw": ("AdamW", {"learning_rate": 0.1, "weight_decay": 0.1}),
    "adamax": ("Adamax", {"learning_rate": 0.1, "beta_2": 0.9}),
    "nadam": ("Nadam", {"learning_rate": 0.1}),
    "lion": ("Lion", {"learning_rate": 0.03, "weight_decay": 0.1}),
    "adafactor": ("Adafactor", {"learning_rate": 0.3}),
    "adafactor_options": ("Adafactor", {"learning_rate": 0.1, "clip_threshold": 0.5, "beta_2_decay": -0.5,
                                        "weight_decay": 0.01}),
    "lamb": ("Lamb", {"learning_rate": 0.1, "weight_decay": 0.05}),
    "muon": ("Muon", {"learning_rate": 0.1}),
    "muon_options": ("Muon", {"learning_rate": 0.05, "nesterov": False, "rms_rate": None, "ns_steps": 3,
                              "weight_decay": 0.1, "adam_weight_decay": 0.2, "exclude_layers": ["conv"],
                              "exclude_embeddings": False, "adam_lr_ratio": 0.5}),
    "ftrl": ("Ftrl", {"learning_rate": 0.3}),
    "ftrl_options": ("Ftrl", {"learning_rate": 0.3, "learning_rate_power": -0.7, "l1_regularization_strength": 0.1,
                              "l2_regularization_strength": 0.05, "l2_shrinkage_regularization_strength": 0.02,
                              "beta": 0.1}),
    "clipnorm": ("Adam", {"learning_rate": 0.1, "clipnorm": 0.5, "epsilon": 0.1}),
    "clipvalue": ("SGD", {"learning_rate": 0.1, "clipvalue": 0.3}),
    "global_clipnorm": ("SGD", {"learning_rate": 0.1, "momentum": 0.5, "global_clipnorm": 1.0}),
    "ema": ("Adam", {"learning_rate": 0.1, "use_ema": True, "ema_momentum": 0.8}),
    "ema_overwriting": ("SGD", {"learning_rate": 0.1, "use_ema": True, "ema_momentum": 0.7,
                                "ema_overwrite_frequency": 3}),
    "accumulation": ("AdamW", {"learning_rate": 0.1, "gradient_accumulation_steps": 3, "weight_decay": 0.1,
                               "clipnorm": 1.0}),
    "accumulation_ema": ("SGD", {"learning_rate": 0.1, "gradient_accumulation_steps": 2, "use_ema": True,
                                 "ema_momentum": 0.5, "ema_overwrite_frequency": 4}),
    "excluded_decay": ("AdamW", {"learning_rate": 0.1, "weight_decay": 0.3}),
    "schedule": ("Adam", {"learning_rate": ("ExponentialDecay", [0.2, 5, 0.5], {})}),
    "schedule_accumulation": ("SGD", {"learning_rate": ("PiecewiseConstantDecay", [[2, 4], [0.2, 0.1, 0.05]], {}),
                                      "gradient_accumulation_steps": 2}),
}

SCHEDULES = {
    "exponential": ("ExponentialDecay", [0.1, 10, 0.5], {}),
    "exponential_stairs": ("ExponentialDecay", [0.1, 10, 0.5], {"staircase": True}),
    "inverse": ("InverseTimeDecay", [0.1, 7, 0.5], {}),
    "inverse_stairs": ("InverseTimeDecay", [0.1, 7, 0.5], {"staircase": True}),
    "polynomial": ("PolynomialDecay", [0.1, 30], {"end_learning_rate": 0.01, "power": 2.0}),
    "polynomial_cycle": ("PolynomialDecay", [0.1, 15], {"power": 0.5, "cycle": True}),
    "piecewise": ("PiecewiseConstantDecay", [[10, 20, 21], [1.0, 0.5, 0.2, 0.1]], {}),
    "cosine": ("CosineDecay", [0.1, 40], {"alpha": 0.1}),
    "cosine_warm": ("CosineDecay", [0.01, 30], {"warmup_target": 0.1, "warmup_steps": 10}),
    "restarts": ("CosineDecayRestarts", [0.1, 10], {"t_mul": 1.5, "m_mul": 0.8, "alpha": 0.1}),
    "restarts_alike": ("CosineDecayRestarts", [0.1, 12], {"t_mul": 1.0, "m_mul": 0.9}),
}
SCHEDULE_STEPS = 50


def start(index):
    n = int(np.prod(SHAPES[index]))
    return (2 * np.sin(index + 1.3 * np.arange(n))).reshape(SHAPES[index])


def gradient(p, step):
    """Of a bent bowl, with something of the step in it; zero now and then."""
    curvature = np.linspace(0.1, 4.0, p.size).reshape(p.shape)
    return curvature * p + 0.3 * np.cos(3 * p) + 0.2 * np.sin(step)
