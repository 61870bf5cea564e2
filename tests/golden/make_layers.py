"""Write layers.npz: outputs, gradients and states of Keras's layers.

Run with Keras 3.15 on JAX:  KERAS_BACKEND=jax JAX_ENABLE_X64=1 python tests/golden/make_layers.py
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import keras
import numpy as np
from layer_cases import CASES, inputs, wave, weight


def golden(case):
    layer = getattr(keras.layers, case["layer"])(**case["options"])
    batches = [jnp.asarray(x) for x in inputs(case["shapes"])]
    args = [batches] if case["listed"] else batches
    layer(*args, **case["call"])
    for i, w in enumerate(w for w in layer.weights if "seed" not in w.path):
        w.assign(weight(w.name, w.shape, i))
    state = [w.value for w in layer.non_trainable_variables]

    def loss(trained, batches):
        args = [batches] if case["listed"] else batches
        out, after = layer.stateless_call(trained, state, *args, **case["call"])
        return jnp.sum(out * wave(out.shape, 5.0)), (out, after)
    trained = [w.value for w in layer.trainable_variables]
    wholes = any(x.dtype.kind == "i" for x in batches)
    (_, (out, after)), grads = jax.value_and_grad(loss, argnums=0 if wholes else (0, 1), has_aux=True)(trained, batches)
    found = [*grads] if wholes else [*grads[0], *grads[1]]
    gradients = [float(jnp.sum(g * wave(g.shape, 7.0))) for g in found]
    floats = [np.asarray(s, np.float32) for s in after if s.dtype.kind == "f"]
    return np.asarray(out, np.float32), np.asarray(gradients), floats


if __name__ == "__main__":
    keras.config.set_floatx("float64")
    stored = {}
    for i, case in enumerate(CASES):
        print(i, case["layer"])
        stored[f"{i}-out"], stored[f"{i}-gradients"], after = golden(case)
        stored.update({f"{i}-state{k}": s for k, s in enumerate(after)})
    np.savez_compressed(Path(__file__).parent / "layers.npz", **stored)
