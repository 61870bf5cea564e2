"""Write recurrent.npz: outputs and gradients of Keras's recurrent layers.

Run with Keras 3.15 on JAX:  KERAS_BACKEND=jax python tests/golden/make_recurrent.py
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import keras
import numpy as np
from recurrent_cases import CASES, given, layer_of, wave


def golden(case):
    layer = layer_of(keras.layers, case)
    x, call = given(case)
    call = jax.tree.map(jnp.asarray, call)
    layer(jnp.asarray(x), **call)
    trained = [jnp.asarray(0.7 * wave(w.shape, i)) for i, w in enumerate(layer.trainable_variables)]
    state = [w.value for w in layer.non_trainable_variables]

    def loss(trained, x):
        out, _ = layer.stateless_call(trained, state, x, **call)
        out = list(out) if isinstance(out, tuple | list) else [out]
        return sum(jnp.sum(o * wave(o.shape, 5.0 + k)) for k, o in enumerate(out)), out
    (_, out), (grads, by_x) = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(trained, jnp.asarray(x))
    return [np.asarray(o, np.float32) for o in out], [np.asarray(g, np.float32) for g in (*grads, by_x)]


if __name__ == "__main__":
    stored = {}
    for i, case in enumerate(CASES):
        outputs, gradients = golden(case)
        stored.update({f"{i}-out{k}": o for k, o in enumerate(outputs)})
        stored.update({f"{i}-gradient{k}": g for k, g in enumerate(gradients)})
    np.savez_compressed(Path(__file__).parent / "recurrent.npz", **stored)
