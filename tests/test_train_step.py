"""Steps of one's own: recorded whole, the numbers of the usual step, several optimizers, gradients of gradients."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import losses, metrics, models, optimizers
from chainrule.callbacks import BackupAndRestore, LambdaCallback
from chainrule.errors import ArgumentError, UsageError
from chainrule.layers import BatchNormalization, Dense, Dropout
from chainrule.models import Model, Sequential, load_model
from chainrule.optimizers import SGD, Adam
from chainrule.runtime import Counters
from chainrule.utils import unpack_x_y_sample_weight

RNG = np.random.default_rng(0)
X = RNG.normal(size=(29, 4)).astype(np.float32)
Y = (X[:, :1] > 0).astype(np.float32)
W = RNG.uniform(0.5, 2.0, 29).astype(np.float32)


class Network(Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.hidden = Dense(5, activation="tanh", kernel_regularizer="l2")
        self.norm, self.drop, self.out = BatchNormalization(), Dropout(0.2), Dense(1, activation="sigmoid")

    def call(self, x):
        return self.out(self.drop(self.norm(self.hidden(x))))


class Stepped(Network):
    """The usual step written out."""

    def train_step(self, data):
        x, y, weights = unpack_x_y_sample_weight(data)
        predicted = self(x, training=True)
        loss = self.compute_loss(x, y, predicted, weights)
        gradients = self.gradients(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        return {"loss": loss, **self.compute_metrics(x, y, predicted, weights)}


class Looped(Network):
    """The step as Keras's guides have it, the metrics one by one."""

    def train_step(self, data):
        x, y = data
        predicted = self(x, training=True)
        loss = self.compute_loss(y=y, y_pred=predicted)
        self.optimizer.apply(self.gradients(loss), self.trainable_variables)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss)
            else:
                metric.update_state(y, predicted)
        return {m.name: m.result() for m in self.metrics}

    def test_step(self, data):
        return super().test_step(data)

    def predict_step(self, data):
        return super().predict_step(data)


def trained(kind, optimizer="adam", weights=None, **options):
    cr.set_seed(4)
    model = kind()
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy", "AUC"], weighted_metrics=["mse"])
    history = model.fit(X, Y, batch_size=8, epochs=3, verbose=0, sample_weight=weights, **options)
    return model, history.history


def same_weights(a, b):
    for x, y in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)


def test_the_usual_step_written_out():
    usual, expected = trained(Network, Adam(0.02, clipnorm=1.0), W)
    model, found = trained(Stepped, Adam(0.02, clipnorm=1.0), W)
    same_weights(model, usual)
    assert list(found) == list(expected)
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)
    assert model.optimizer.iterations == usual.optimizer.iterations == 12
    assert model.evaluate(X, Y, verbose=0) == usual.evaluate(X, Y, verbose=0)


def test_as_keras_has_it():
    usual, expected = trained(Network)
    model, found = trained(Looped, validation_data=(X, Y))
    same_weights(model, usual)
    for name in ("accuracy", "AUC", "mse"):
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6)
    assert found["loss"] != expected["loss"]  # a Mean of losses weighs batches alike, also the short last one
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=0.1)
    scores = usual.evaluate(X, Y, verbose=0, return_dict=True)
    assert model.evaluate(X, Y, verbose=0, return_dict=True) == pytest.approx(scores, rel=1e-6)
    np.testing.assert_array_equal(model.predict(X), usual.predict(X))
    np.testing.assert_array_equal(model.predict(X[:1]), usual.predict(X[:1]))


def test_nothing_is_recorded_twice():
    model, _ = trained(Stepped)
    before = Counters.compiled, Counters.loaded, Counters.reused
    model.optimizer.learning_rate = 0.5
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    assert (Counters.compiled, Counters.loaded, Counters.reused) == before


# ---------------------------------------------------------------- two optimizers


class GAN(Model):
    """Generator and discriminator, each with an optimizer, in one step."""

    def __init__(self):
        super().__init__()
        self.discriminator = Sequential([Dense(6, activation="tanh"), Dense(1)])
        self.generator = Sequential([Dense(6, activation="tanh"), Dense(4)])

    def compile(self, d_optimizer, g_optimizer):
        super().compile()
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
        self.d_loss, self.g_loss = metrics.Mean("d_loss"), metrics.Mean("g_loss")
        self.judge = losses.BinaryCrossentropy(from_logits=True)

    @property
    def metrics(self):
        return [self.d_loss, self.g_loss]

    def train_step(self, real):
        n = real.shape[0]
        fake = self.generator(cr.random.normal(self.next_key(), shape=(n, 3)))
        labels = np.concatenate([np.ones((n, 1)), np.zeros((n, 1))]).astype(np.float32)
        d_loss = self.judge(labels, self.discriminator(np.concatenate([real, fake])))
        weights = self.discriminator.trainable_weights
        self.d_optimizer.apply(self.gradients(d_loss, weights), weights)
        fake = self.generator(cr.random.normal(self.next_key(), shape=(n, 3)))
        g_loss = self.judge(np.ones((n, 1), np.float32), self.discriminator(fake))
        weights = self.generator.trainable_weights
        self.g_optimizer.apply(self.gradients(g_loss, weights), weights)
        self.d_loss.update_state(d_loss)
        self.g_loss.update_state(g_loss)
        return {m.name: m.result() for m in self.metrics}


def gan(folder=None, stop_at=None, **options):
    cr.set_seed(3)
    model = GAN()
    model.compile(Adam(0.01), SGD(0.05, momentum=0.9, use_ema=True))

    def stop(batch, logs, count=[0]):  # noqa: B006
        count[0] += 1
        if count[0] == stop_at:
            raise RuntimeError
    calls = [LambdaCallback(on_train_batch_end=stop)] if stop_at or folder else []
    calls += [BackupAndRestore(folder, 3)] if folder else []
    history = model.fit(X, batch_size=8, epochs=4, verbose=0, callbacks=calls, **options).history
    return model, history


def test_two_optimizers():
    model, history = gan()
    assert list(history) == ["d_loss", "g_loss"] and len(history["d_loss"]) == 4
    assert model.d_optimizer.iterations == model.g_optimizer.iterations == 16
    found = model.train_on_batch(X, return_dict=True)
    assert sorted(found) == ["d_loss", "g_loss"] and model.d_optimizer.iterations == 17
    model.g_optimizer.learning_rate = 0.0  # its momentum goes on
    before = model.generator.get_weights(), model.discriminator.get_weights()
    model.compile(model.d_optimizer, SGD(0.0))  # one alone stands still
    model.fit(X, batch_size=8, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before[0], model.generator.get_weights(), strict=True))
    assert not np.array_equal(before[1][0], model.discriminator.get_weights()[0])


def test_a_step_by_hand():
    """One step of two optimizers against derivatives of plain functions."""
    cr.set_seed(0)
    model = GAN()
    model.compile(SGD(0.1), SGD(0.2))
    keys = []

    class Known(GAN):
        def next_key(self, seed=None):
            keys.append(len(keys) % 2 + 1)
            return np.array([7, keys[-1]], np.uint32)
    model.__class__ = Known
    model.discriminator.build((None, 4)), model.generator.build((None, 3))
    d, g = model.discriminator.get_weights(), model.generator.get_weights()

    def network(w, x):
        return np.tanh(x @ w[0] + w[1]) @ w[2] + w[3]

    def d_loss(d):
        fake = network(g, cr.random.normal(np.array([7, 1], np.uint32), shape=(29, 3)))
        labels = np.concatenate([np.ones((29, 1)), np.zeros((29, 1))]).astype(np.float32)
        return model.judge(labels, network(d, np.concatenate([X, fake])))
    d = [w - 0.1 * s for w, s in zip(d, cr.grad(d_loss)(d), strict=True)]

    def g_loss(g):
        return model.judge(np.ones((29, 1), np.float32),
                           network(d, network(g, cr.random.normal(np.array([7, 2], np.uint32), shape=(29, 3)))))
    g = [w - 0.2 * s for w, s in zip(g, cr.grad(g_loss)(g), strict=True)]
    model.train_on_batch(X)
    for found, expected in zip([*model.discriminator.get_weights(), *model.generator.get_weights()], [*d, *g],
                               strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stop_at", [5, 12])
def test_a_run_of_two_optimizers_goes_on_where_it_stopped(tmp_path, stop_at):
    expected, history = gan(tmp_path / "whole")
    with pytest.raises(RuntimeError):
        gan(tmp_path, stop_at=stop_at)
    model, found = gan(tmp_path)
    same_weights(model, expected)
    assert found == history
    assert model.g_optimizer.iterations == 16


def test_saved_with_its_optimizer(tmp_path):
    path = tmp_path / "model.safetensors"
    model, _ = trained(Stepped, Adam(0.02))
    model.optimizer.learning_rate = 0.01
    model.save(path)
    found = load_model(path, custom_objects={"Stepped": Stepped})
    assert found.optimizer.learning_rate == 0.01
    found.save(path)  # before it makes a step
    found = load_model(path, custom_objects={"Stepped": Stepped})
    for each in (model, found):
        cr.set_seed(1)
        each.fit(X, Y, batch_size=8, verbose=0)
    same_weights(found, model)
    assert found.optimizer.iterations == 16
    model, _ = gan()
    model.save(path)
    with pytest.warns(UserWarning, match="has a compile of its own and is left uncompiled"):
        assert not load_model(path, custom_objects={"GAN": GAN}).compiled


# ---------------------------------------------------------------- other losses


def test_a_gradient_penalty():
    """A loss of a gradient by inputs, differentiated by weights."""
    class Smooth(Model):
        def __init__(self):
            super().__init__()
            self.body = Sequential([Dense(5, activation="tanh", input_dim=4), Dense(1)])

        def train_step(self, data):
            x, y = data
            moved = x * 1.5
            slope = self.gradients(np.sum(self.body(moved)), moved)
            penalty = np.mean(np.sum(slope ** 2, axis=1))
            loss = np.mean((self.body(x) - y) ** 2) + 0.3 * penalty
            self.optimizer.apply(self.gradients(loss), self.trainable_weights)
            return {"loss": loss, "penalty": penalty}
    model = Smooth()
    model.compile(SGD(0.1))
    weights = model.get_weights()

    def network(w, x):
        return np.tanh(x @ w[0] + w[1]) @ w[2] + w[3]

    def loss(w):
        slope = cr.grad(lambda x: np.sum(network(w, x)))(X * np.float32(1.5))
        return np.mean((network(w, X) - Y) ** 2) + 0.3 * np.mean(np.sum(slope ** 2, axis=1))
    value, slopes = cr.value_and_grad(loss)(weights)
    found = model.train_on_batch(X, Y, return_dict=True)
    assert found["loss"] == pytest.approx(float(value), rel=1e-5) and 0 < found["penalty"] < found["loss"]
    for now, before, slope in zip(model.get_weights(), weights, slopes, strict=True):
        np.testing.assert_allclose(now, before - 0.1 * slope, rtol=1e-4, atol=1e-6)


def test_a_teacher():
    """compute_loss alone; the teacher is held, frozen."""
    class Distiller(Model):
        def __init__(self, teacher, student):
            super().__init__()
            self.teacher, self.student = teacher, student
            self.teacher.trainable = False

        def call(self, x):
            return self.student(x)

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            taught = losses.KLDivergence()(self.teacher(x, training=False), y_pred)
            return 0.3 * super().compute_loss(x, y, y_pred, sample_weight) + 0.7 * taught
    teacher = Sequential([Dense(8, activation="relu", input_dim=4), Dense(2, activation="softmax")])
    student = Sequential([Dense(2, activation="softmax")])
    model, before = Distiller(teacher, student), teacher.get_weights()
    model.compile(Adam(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(X, Y[:, 0].astype(int), epochs=5, batch_size=8, verbose=0,
                        validation_data=(X, Y[:, 0].astype(int))).history
    assert history["loss"][-1] < history["loss"][0] and sorted(history) == [
        "accuracy", "loss", "val_accuracy", "val_loss"]
    assert all(np.array_equal(a, b) for a, b in zip(before, teacher.get_weights(), strict=True))


def test_a_network_that_follows_another():
    """Weights that no optimizer changes may be assigned."""
    class Following(Model):
        def __init__(self):
            super().__init__()
            self.leader, self.follower = Dense(1), Dense(1)

        def train_step(self, data):
            x, y = data
            loss = np.mean((self.leader(x) - y) ** 2) + 0.0 * np.mean(self.follower(x))
            self.optimizer.apply(self.gradients(loss, self.leader.trainable_weights), self.leader.trainable_weights)
            for a, b in zip(self.follower.weights, self.leader.weights, strict=True):
                a.assign(0.9 * a.value + 0.1 * b.value)
            return {"loss": loss}
    model = Following()
    model.compile(SGD(0.1))
    model.train_on_batch(X, Y)
    follower, leader = model.follower.get_weights(), model.leader.get_weights()
    model.train_on_batch(X, Y)
    for now, before, led in zip(model.follower.get_weights(), follower, model.leader.get_weights(), strict=True):
        np.testing.assert_allclose(now, 0.9 * before + 0.1 * led, rtol=1e-5, atol=1e-7)
    assert not np.array_equal(leader[0], model.leader.get_weights()[0])


def test_a_scaled_loss():
    plain, _ = trained(Stepped, SGD(0.1))

    class Scaled(Network):
        def train_step(self, data):
            x, y = data
            predicted = self(x, training=True)
            loss = self.compute_loss(x, y, predicted)
            gradients = self.gradients(self.optimizer.scale_loss(loss))
            self.optimizer.apply(gradients, self.trainable_weights)
            return {"loss": loss}
    for optimizer in (SGD(0.1, loss_scale_factor=128.0), optimizers.LossScaleOptimizer(SGD(0.1))):
        same_weights(trained(Scaled, optimizer)[0], plain)


# ---------------------------------------------------------------- optimizers outside of a step


def test_apply_at_once():
    layer, other = Dense(2), Dense(2)
    for each in (layer, other):
        each.build((None, 3))
    other.set_weights(layer.get_weights())
    rule = Adam(0.1)
    flat = np.concatenate([w.array.reshape(-1) for w in layer.trainable_weights])
    state = rule.init(flat)
    for step in range(3):
        slopes = [np.full(w.shape, step + 1.0, np.float32) for w in layer.trainable_weights]
        rule.apply(slopes, layer.trainable_weights)
        flat, state = rule.update(flat, np.full(flat.shape, step + 1.0, np.float32), state, 0.1, step)
    np.testing.assert_allclose(np.concatenate([w.reshape(-1) for w in layer.get_weights()]), flat, rtol=1e-6)
    assert rule.iterations == 3
    rule.apply(slopes)
    with pytest.raises(ArgumentError, match="the same ones each time"):
        rule.apply(slopes, other.trainable_weights)
    with pytest.raises(ArgumentError, match="1 gradients for 2 weights"):
        rule.apply(slopes[:1], layer.trainable_weights)
    with pytest.raises(ArgumentError, match="The first apply without weights"):
        Adam().apply(slopes)


# ---------------------------------------------------------------- what cannot be


def failing(step, error, match, optimizer="sgd", **options):
    class Failing(Network):
        def train_step(self, data):
            return step(self, *data)
    model = Failing()
    model.compile(optimizer, "binary_crossentropy")
    with pytest.raises(error, match=match):
        model.fit(X, Y, verbose=0, **options)


def test_clear_refusals():
    def usual(model, x, y):
        loss = model.compute_loss(x, y, model(x, training=True))
        model.optimizer.apply(model.gradients(loss), model.trainable_weights)
        return {"loss": loss}

    def late(model, x, y):
        loss = model.compute_loss(x, y, model(x, training=True))
        slopes = model.gradients(loss)
        model.optimizer.apply(slopes, model.trainable_weights)
        return {"loss": loss, "slope": np.mean(model.gradients(loss)[0])}
    stranger = Dense(2)
    stranger.build((None, 4))
    optimizer = SGD(0.1)

    def strange(model, x, y):
        optimizer.apply(model.gradients(np.mean(stranger(x)), stranger.trainable_weights), stranger.trainable_weights)
        return {"loss": 0.0}

    def two(model, x, y):
        loss = model.compute_loss(x, y, model(x, training=True))
        optimizer.apply(model.gradients(loss, model.out.weights), model.out.weights)
        model.optimizer.apply(model.gradients(loss), model.trainable_weights)
        return {"loss": loss}

    def counted(model, x, y):
        mean = metrics.Mean("mine")
        mean.update_state(np.mean(x))
        return {"mine": mean.result() * 2}
    failing(usual, UsageError, "asks for the loss at points of its own choice", optimizers.LBFGS(), batch_size=29)
    failing(usual, ArgumentError, "gradient='forward' for a model with a train_step of its own", gradient="forward")
    failing(late, UsageError, "before optimizer.apply")
    failing(strange, UsageError, "not among failing.trainable_weights")
    failing(two, UsageError, "none of them in another list")
    failing(counted, UsageError, "which is known after")
    failing(lambda model, x, y: None, ArgumentError, "Train_step returned None")
    failing(lambda model, x, y: {"loss": x}, ArgumentError, r"for 'loss' an array of shape")
    failing(lambda model, x, y: {"loss": metrics.Mean("m").result()}, UsageError, "does not update")
    with pytest.raises(UsageError, match="outside of train_step"):
        Network().gradients(1.0)
    model = GAN()
    with pytest.raises(UsageError, match="before compile"):
        model.fit(X)
    with pytest.raises(UsageError, match="is called without layers"):
        model.compile("sgd", "sgd")
        model.evaluate(X, Y)


def test_metrics_of_a_model():
    model = Network()
    model.mine = metrics.Mean("mine")
    assert model.metrics_names == ["mine"]
    model.compile("sgd", "mse", metrics=["mae"])
    assert model.metrics_names == ["loss", "compile_metrics", "mine"]
    found = model.compute_metrics(X, Y, np.zeros_like(Y))
    assert found == {"mae": pytest.approx(Y.mean())}
    model.mine.update_state(3.0)
    model.reset_metrics()
    assert model.mine.result() == 0.0
    assert models.Model.train_step.default
