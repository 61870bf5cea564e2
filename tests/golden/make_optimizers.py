"""Write optimizers.npz: trajectories of Keras's optimizers and values of its schedules.

Run with Keras 3.15 on JAX:  KERAS_BACKEND=jax JAX_ENABLE_X64=1 python tests/golden/make_optimizers.py
"""

from pathlib import Path

import keras
import numpy as np
from optimizer_cases import KEPT, NAMES, OPTIMIZERS, SCHEDULE_STEPS, SCHEDULES, SHAPES, STEPS, gradient, start


def schedule(name, args, options):
    return getattr(keras.optimizers.schedules, name)(*args, **options)


def trajectory(name, kind, options):
    options = dict(options)
    if isinstance(options["learning_rate"], tuple):
        options["learning_rate"] = schedule(*options["learning_rate"])
    optimizer = getattr(keras.optimizers, kind)(**options)
    variables = []
    for i, path in enumerate(NAMES):
        scope, own = path.split("/")
        with keras.name_scope(scope):
            variables.append(keras.Variable(start(i), dtype="float64", name=own))
    if name == "excluded_decay":
        optimizer.exclude_from_weight_decay(var_names=["bias", "embeddings"])
    kept = []
    for step in range(STEPS):
        grads = [keras.ops.convert_to_tensor(gradient(np.asarray(v), step)) for v in variables]
        optimizer.apply_gradients(zip(grads, variables, strict=True))
        if step in KEPT:
            kept.append(np.concatenate([np.asarray(v).reshape(-1) for v in variables]))
    if optimizer.use_ema:
        optimizer.finalize_variable_values(variables)
        kept.append(np.concatenate([np.asarray(v).reshape(-1) for v in variables]))
    return np.stack(kept)


if __name__ == "__main__":
    keras.config.set_floatx("float64")
    out = {name: trajectory(name, *case) for name, case in OPTIMIZERS.items()}
    for name, case in SCHEDULES.items():
        rate = schedule(*case)
        out[f"schedule_{name}"] = np.array([float(rate(step)) for step in range(SCHEDULE_STEPS)])
    assert all(np.isfinite(v).all() for v in out.values()) and len(SHAPES) == len(NAMES)
    np.savez_compressed(Path(__file__).parent / "optimizers.npz", **out)
