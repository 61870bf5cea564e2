"""Write losses.npz: the values of Keras's losses.

Run with Keras 3.15 on JAX:  KERAS_BACKEND=jax JAX_ENABLE_X64=1 python tests/golden/make_losses.py
"""

from pathlib import Path

import keras
import numpy as np
from loss_cases import DATA, LOSSES, WEIGHTS, key, loss_cases


def value(index, data, weighted):
    kind, options, _ = LOSSES[index]
    y, p = DATA[data]
    loss = getattr(keras.losses, kind)(dtype="float64", **options)
    return np.asarray(loss(y, p, sample_weight=WEIGHTS[data] if weighted else None))


if __name__ == "__main__":
    keras.config.set_floatx("float64")
    out = {key(*case): value(*case) for case in loss_cases()}
    assert all(np.isfinite(v).all() for v in out.values())
    np.savez_compressed(Path(__file__).parent / "losses.npz", **out)
