"""The positional arguments of Keras's classes in their order, for ``test_keras_ways.py``.

    KERAS_BACKEND=numpy python tests/golden/make_positions.py
"""

import inspect
import json
from pathlib import Path

import keras

KINDS = inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD
ROOMS = "callbacks", "constraints", "initializers", "layers", "losses", "metrics", "optimizers", "regularizers"


def positions(cls):
    return [p.name for p in list(inspect.signature(cls.__init__).parameters.values())[1:] if p.kind in KINDS]


if __name__ == "__main__":
    found = {f"{room}.{name}": positions(cls) for room in ROOMS
             for name, cls in sorted(vars(getattr(keras, room)).items()) if isinstance(cls, type)}
    path = Path(__file__).with_name("positions.json")
    path.write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in found.items()) + "\n}\n")
    print(f"Keras {keras.__version__}: {len(found)} classes")
