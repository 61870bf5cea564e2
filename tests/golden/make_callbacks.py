"""Writes callbacks.json and the files of Keras beside it: `KERAS_BACKEND=jax python tests/golden/make_callbacks.py`.

The numbers are those of Keras 3.15.1; the test trains the same model on the same data.
"""

import json
from pathlib import Path

import keras
import numpy as np
from keras import callbacks, layers

HERE = Path(__file__).parent


def wave(*shape, phase=0.0):
    n = int(np.prod(shape))
    return np.sin(phase + 1.7 * np.arange(n) ** 1.1).reshape(shape).astype(np.float32)


CASES = {
    "plateau": (0.5, lambda: callbacks.ReduceLROnPlateau(factor=0.5, patience=1, min_delta=0.02, cooldown=1,
                                                         min_lr=0.05)),
    "schedule": (0.5, lambda: callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.8)),
    "early": (1.5, lambda: callbacks.EarlyStopping(patience=2, min_delta=0.006, restore_best_weights=True)),
    "accuracy": (1.5, lambda: callbacks.EarlyStopping(monitor="val_accuracy", patience=3, min_delta=0.05,
                                                      start_from_epoch=2, restore_best_weights=True)),
    "baseline": (0.5, lambda: callbacks.EarlyStopping(patience=2, baseline=0.01, min_delta=0.01)),
}


def numbers():
    x = wave(53, 6)
    y = ((x @ wave(6, 3, phase=1.0))[:, 0] > 0).astype(np.float32)
    found = {}
    for name, (rate, make) in CASES.items():
        model = keras.Sequential([layers.Input((6,)), layers.Dense(8, activation="relu"),
                                  layers.Dense(1, activation="sigmoid")])
        model.set_weights([wave(6, 8, phase=2.0) * 0.5, np.zeros(8), wave(8, 1, phase=3.0) * 0.5, np.zeros(1)])
        model.compile(keras.optimizers.SGD(rate), "binary_crossentropy", metrics=["accuracy"])
        callback = make()
        history = model.fit(x, y, batch_size=8, epochs=12, shuffle=False, verbose=0, validation_split=0.2,
                            callbacks=[callback]).history
        found[name] = {
            "epochs": len(history["loss"]), "val_loss": [round(float(v), 6) for v in history["val_loss"]],
            "rates": [round(float(v), 7) for v in history.get("learning_rate", [])],
            "size": round(float(sum(np.abs(w).sum() for w in model.get_weights())), 4),
            "stopped": getattr(callback, "stopped_epoch", None), "best": getattr(callback, "best_epoch", None)}
    return found


def saved(model, name, shape):
    for k, weight in enumerate(model.weights):
        weight.assign(wave(*weight.shape, phase=float(k)) * 0.5 + (1.0 if "variance" in weight.path else 0.0))
    x = wave(3, *shape, phase=9.0)
    model.save(HERE / f"{name}.keras")
    return np.asarray(model(x)).round(5).tolist()


def files():
    dense = keras.Sequential([layers.Input((6,)), layers.Dense(8, activation="relu", kernel_regularizer="l2"),
                              layers.Dropout(0.5), layers.Dense(2, activation="softmax", name="last")])
    outputs = {"keras_dense": saved(dense, "keras_dense", (6,))}
    dense.save_weights(HERE / "keras_dense.weights.h5")
    x = keras.Input((6,))
    shared = layers.Dense(6, activation="tanh", name="zzz")
    inner = keras.Sequential([layers.Dense(3, activation="relu"), layers.Dense(2)])
    branched = keras.Model(x, [inner(shared(shared(x))), layers.Dense(1, name="aaa")(shared(x))])
    for k, weight in enumerate(branched.weights):
        weight.assign(wave(*weight.shape, phase=float(k)) * 0.5)
    branched.save(HERE / "keras_branched.keras")
    outputs["keras_branched"] = [np.asarray(o).round(5).tolist() for o in branched(wave(3, 6, phase=9.0))]
    images = keras.Sequential([
        layers.Input((8, 8, 2)), layers.Conv2D(4, 3, padding="same", activation="relu"), layers.BatchNormalization(),
        layers.MaxPooling2D(2), layers.Conv2D(3, 3, strides=2), layers.GlobalAveragePooling2D(), layers.Dense(2)])
    outputs["keras_images"] = saved(images, "keras_images", (8, 8, 2))
    series = keras.Sequential([
        layers.Input((6, 3)), layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
        layers.TimeDistributed(layers.Dense(4)), layers.GRU(5), layers.Dense(2)])
    outputs["keras_series"] = saved(series, "keras_series", (6, 3))
    return outputs


if __name__ == "__main__":
    (HERE / "callbacks.json").write_text(json.dumps({"callbacks": numbers(), "files": files()}) + "\n")
