"""The recurrent layers that are compared with Keras: what they are made with, what they are given."""

import numpy as np

BATCH, TIME, FEATURES, UNITS = 3, 5, 2, 4
MASK = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1], [0, 1, 1, 1, 0]], bool)
STATES = {"SimpleRNN": 1, "LSTM": 2, "GRU": 1}


def wave(shape, phase=0.0):
    """Numbers that look like none in particular, the same everywhere."""
    n = int(np.prod(shape))
    return np.sin(phase + 1.7 * np.arange(1, n + 1) ** 1.1).reshape(shape).astype(np.float32)


def variants():
    """(name, options, masked, with initial states)."""
    for name in STATES:
        yield name, {}, False, False
        yield name, {"return_sequences": True, "use_bias": False}, False, False
        yield name, {"return_sequences": True, "return_state": True}, True, True
        yield name, {"go_backwards": True, "return_sequences": True}, True, False
        yield name, {"zero_output_for_mask": True}, True, False
        yield name, {"activation": "relu", "return_state": True, "go_backwards": True}, False, True
    yield "GRU", {"reset_after": False, "return_sequences": True}, True, False
    yield "LSTM", {"recurrent_activation": "hard_sigmoid", "unit_forget_bias": False}, False, False


CASES = [{"layer": name, "options": options, "masked": masked, "states": STATES[name] if begun else 0, "wrap": None}
         for name, options, masked, begun in variants()]
CASES += [{"layer": name, "options": {"return_sequences": sequences, "return_state": mode == "sum"}, "masked": masked,
           "states": 0, "wrap": mode}
          for name, mode, sequences, masked in (
              ("LSTM", "concat", True, True), ("GRU", "sum", True, False), ("SimpleRNN", "mul", False, True),
              ("LSTM", "ave", False, False))]
IDS = [f"{i}-{c['layer']}" for i, c in enumerate(CASES)]


def layer_of(layers, case):
    """The layer, of Chainrule's or Keras's."""
    layer = getattr(layers, case["layer"])(UNITS, **case["options"])
    return layer if case["wrap"] is None else layers.Bidirectional(layer, merge_mode=case["wrap"])


def given(case):
    """The batch and the other arguments of the call."""
    call = {"mask": MASK} if case["masked"] else {}
    if case["states"]:
        call["initial_state"] = [wave((BATCH, UNITS), 0.5 + k) for k in range(case["states"])]
    return wave((BATCH, TIME, FEATURES)), call
