"""Write metrics.npz: the values of Keras's metrics over two batches.

Run with Keras 3.15 on JAX:  KERAS_BACKEND=jax JAX_ENABLE_X64=1 python tests/golden/make_metrics.py
"""

from pathlib import Path

import keras
import numpy as np
from loss_cases import METRIC_DATA, METRIC_WEIGHTS, METRICS, metric_cases, metric_key


def value(index, weighted):
    kind, options, data, _ = METRICS[index]
    metric = getattr(keras.metrics, kind)(**options)
    y, p = METRIC_DATA[data]
    for rows in (slice(0, 4), slice(4, None)):
        weights = METRIC_WEIGHTS[:len(y)][rows] if weighted else None
        metric.update_state(y[rows], p[rows], sample_weight=weights)
    return np.asarray(metric.result())


if __name__ == "__main__":
    keras.config.set_floatx("float64")
    out = {metric_key(*case): value(*case) for case in metric_cases()}
    assert all(np.isfinite(v).all() for v in out.values())
    np.savez_compressed(Path(__file__).parent / "metrics.npz", **out)
