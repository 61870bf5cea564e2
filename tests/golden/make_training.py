"""Write training.json: histories of small trainings by Keras, and the sums of the absolute weights afterwards.

Run with Keras 3.15 on JAX:  KERAS_BACKEND=jax python tests/golden/make_training.py
"""

import json
from pathlib import Path

import keras
import numpy as np
from training_cases import CASES

if __name__ == "__main__":
    out = {}
    for name, case in CASES.items():
        model, history = case(keras)
        out[name] = {"history": {k: [round(float(v), 6) for v in values] for k, values in history.history.items()},
                     "size": round(float(sum(np.abs(w).sum() for w in model.get_weights())), 4)}
    (Path(__file__).parent / "training.json").write_text(json.dumps(out, indent=1) + "\n")
