"""What cannot be trained on is refused by name, with what fits and a corrected line."""

import numpy as np
import pytest

import chainrule.numpy  # noqa: F401
from chainrule.errors import ArgumentError, DataError, ShapeError, UsageError
from chainrule.layers import Dense, Flatten
from chainrule.models import Sequential

X = np.random.default_rng(0).random((20, 4))
BITS = np.arange(20) % 2
CLASSES = np.arange(20) % 3


def compiled(loss="binary_crossentropy", units=1, activation="sigmoid", **options):
    model = Sequential([Dense(5, activation="relu", input_dim=4, name="first"), Dense(units, activation=activation)])
    model.compile("sgd", loss, **options)
    return model


def classifier():
    return compiled("sparse_categorical_crossentropy", 3, "softmax")


def one_changed(array, where, value):
    changed = np.array(array, dtype=float)
    changed[where] = value
    return changed


SAMPLES = [  # x, what the message says
    (None, "x is None"),
    (np.zeros((0, 4)), r"x is empty \(shape \(0, 4\)\)"),
    (3.0, "x is a single number"),
    (X[:19], "x has 19 samples and y has 20"),
    (np.array([["a"] * 4] * 20), "x holds strings"),
    (np.array([[None] * 4] * 20), r"x holds Python objects \(dtype object\)"),
    ([[1, 2, 3, 4], [1, 2]], "x cannot be made an array"),
    (X + 1j, "x holds complex numbers"),
    (one_changed(X, (3, 2), np.nan), r"The value x\[3, 2\] is nan\."),
    (one_changed(X, ([3, 5], 1), np.inf), r"The value x\[3, 1\] is inf, the first of 2"),
    (one_changed(X, (7, 0), 1e300), r"The value x\[7, 0\] is 1e\+300, too large for float32"),
    (X[:, :3], r"x has 3 features per sample \(shape \(20, 3\)\), and layer 'first' \(Dense\) was built for 4"),
    (np.hstack([X, X]), r"was built for 4[\s\S]*x of shape \(n, 4\)[\s\S]*x = x\[:, :4\]"),
    (X[:, 0], r"x has shape \(20,\), and layer 'first' \(Dense\) was built for samples of shape \(4,\)"),
    (X[:, :, None], r"x has shape \(20, 4, 1\)[\s\S]*x\.reshape\(-1, 4\)"),
]


@pytest.mark.parametrize(("x", "message"), SAMPLES, ids=[m[:30] for _, m in SAMPLES])
def test_samples(x, message):
    model = compiled()
    before = model.get_weights()
    with pytest.raises((DataError, ShapeError), match=message) as caught:
        model.fit(x, BITS, verbose=0)
    assert isinstance(caught.value, ValueError) and "What fits: " in str(caught.value)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    if "samples and" not in message:
        with pytest.raises((DataError, ShapeError), match=message):
            model.predict(x)


TARGETS = [  # model, y, what the message says
    (compiled, None, "y is None"),
    (compiled, np.zeros(0), "x has 20 samples and y has 0"),
    (compiled, np.array(["yes", "no"] * 10), r"y holds strings[\s\S]*labels, y = np\.unique\(y, return_inverse=True\)"),
    (compiled, one_changed(BITS, 4, np.nan), r"The value y\[4, 0\] is nan"),
    (compiled, BITS + 1, r"y\[1, 0\] is 2\.0, out of range for binary_crossent[\s\S]*Dense\(3, activation='softmax'\)"),
    (compiled, BITS * 2 - 1, r"y\[0, 0\] is -1\.0[\s\S]*y = \(y \+ 1\) / 2"),
    (compiled, np.eye(3)[CLASSES], r"y has shape \(20, 3\) for outputs of shape \(n, 1\)[\s\S]*Dense\(3\)"),
    (classifier, CLASSES + 1, r"y\[2\] is 3, out of range for 3 classes[\s\S]*from 0 to 2[\s\S]*y = y - 1"),
    (classifier, CLASSES - 1, r"y\[0\] is -1, out of range[\s\S]*y = y - -1"),
    (classifier, CLASSES * 4, r"y\[1\] is 4, out of range for 3 classes[\s\S]*Dense\(9, activation='softmax'\)"),
    (classifier, CLASSES + 0.5, r"y\[0\] is 0\.5, which is no class label[\s\S]*whole numbers from 0 to 2"),
    (classifier, one_changed(CLASSES, 4, np.nan), r"y\[4\] is nan, which is no class label"),
    (classifier, one_changed(CLASSES, 4, np.inf), r"y\[4\] is inf, which is no class label"),
    (classifier, np.eye(3)[CLASSES], r"as if one-hot[\s\S]*loss='categorical_crossentropy'"),
    (classifier, np.zeros((20, 2), int), r"y has shape \(20, 2\)[\s\S]*class labels of shape \(n,\)"),
    (lambda: compiled("categorical_crossentropy", 3, "softmax"), CLASSES,
     r"y has shape \(20,\) for outputs of shape \(n, 3\)[\s\S]*loss='sparse_categorical_crossentropy'"),
    (lambda: compiled("binary_crossentropy", 3), BITS, r"Dense\(1, activation='sigmoid'\)"),
    (lambda: compiled("mse", 3, None), X, r"y has shape \(20, 4\) for outputs of shape \(n, 3\) \(loss mean_squared"),
]


@pytest.mark.parametrize(("make", "y", "message"), TARGETS, ids=[m[:30] for _, _, m in TARGETS])
def test_targets(make, y, message):
    model = make()
    with pytest.raises((DataError, ShapeError), match=message):
        model.fit(X, y, verbose=0)
    with pytest.raises((DataError, ShapeError), match=message):
        model.evaluate(X, y, verbose=0)


def test_validation_data_are_checked_too():
    with pytest.raises(ShapeError, match="x_val has 3 features"):
        compiled().fit(X, BITS, validation_data=(X[:, :3], BITS), verbose=0)
    with pytest.raises(DataError, match="x_val has 20 samples and y_val has 19"):
        compiled().fit(X, BITS, validation_data=(X, BITS[:19]), verbose=0)
    with pytest.raises(DataError, match=r"Validation_data is a tuple of 4[\s\S]*\(x_val, y_val\)"):
        compiled().fit(X, BITS, validation_data=(X, BITS, BITS, BITS), verbose=0)
    for share in (1.0, -0.1, 0.99, "some"):
        with pytest.raises(ArgumentError, match="validation_split"):
            compiled().fit(X, BITS, validation_split=share, verbose=0)


@pytest.mark.parametrize("options", [
    dict(batch_size=0), dict(batch_size=-1), dict(batch_size=2.5), dict(epochs=0), dict(epochs=-2), dict(epochs=1.5),
    dict(initial_epoch=-1), dict(verbose=3), dict(verbose="loud"), dict(callbacks=[3]), dict(callbacks=print)], ids=str)
def test_options(options):
    with pytest.raises(ArgumentError, match="What fits"):
        compiled().fit(X, BITS, **options)


def test_at_the_wrong_time():
    model = Sequential([Dense(1, input_dim=4)])
    for call in (model.fit, model.evaluate):
        with pytest.raises(UsageError, match=r"before compile[\s\S]*model\.compile\(loss="):
            call(X, BITS)
    model.compile("adam")
    with pytest.raises(UsageError, match="without a loss"):
        model.fit(X, BITS)
    empty = Sequential()
    empty.compile("adam", "mse")
    for call in (lambda: empty.fit(X, BITS), lambda: empty.predict(X)):
        with pytest.raises(UsageError, match="has no layers"):
            call()


def test_unknown_names_when_compiling():
    model = Sequential([Dense(1, input_dim=4)])
    for options, corrected in ((dict(optimizer="adan"), "optimizer='adam'"), (dict(loss="msee"), "loss='mse'"),
                               (dict(loss="mse", metrics=["acuracy"]), "metrics='accuracy'")):
        with pytest.raises(ArgumentError, match=corrected):
            model.compile(**options)
    model.compile("adam", "mse", metrics=["mse", "mse"])
    with pytest.raises(ArgumentError, match="two results named 'mse'|Two results named 'mse'"):
        model.fit(X, BITS, verbose=0)


def test_a_refused_compile_changes_nothing():
    model = compiled(metrics=["mae"])
    before = model.optimizer, model.loss, model.metrics
    for options in (dict(optimizer="adam", loss="msee"), dict(optimizer="adan", loss="mse"),
                    dict(optimizer="adam", loss="mse", metrics=["acuracy"])):
        with pytest.raises(ArgumentError):
            model.compile(**options)
    assert (model.optimizer, model.loss, model.metrics) == before
    model.fit(X, BITS, verbose=0)


def test_what_is_unusual_but_right():
    model = compiled()
    model.fit(X, BITS, batch_size=1000, verbose=0)  # larger than the data
    model.fit(X.tolist(), BITS.astype(bool), verbose=0)
    model.fit(X.astype(np.float16), BITS[:, None], verbose=0)
    model.fit(np.asfortranarray(X)[::-1], BITS * 0.5, verbose=0)
    model.fit(X, BITS, batch_size=np.int64(7), epochs=np.int32(1), verbose=0)
    huge = Sequential([Dense(1, input_dim=4, kernel_initializer="zeros")])
    huge.compile("sgd", "mae")
    huge.fit(X * 1e38, BITS, verbose=0)  # finite, though the sum is not
    one = Sequential([Dense(1, input_dim=1)])
    one.compile("sgd", "mse")
    one.fit(X[:, 0], X[:, 1], verbose=0)  # samples of one number
    labels = classifier()
    labels.fit(X, CLASSES[:, None].astype(float), verbose=0)
    labels.fit(X, CLASSES.astype(np.uint8), verbose=0)
    assert Sequential([Flatten()]).predict(X[:, None]).shape == (20, 4)
