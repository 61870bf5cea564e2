"""debug_nans: the operation, the line and the operands where the first NaN or infinity appears."""

import re
import threading

import numpy as np
import pytest

import chainrule as cr
from chainrule.errors import ChainruleError, NotFiniteError
from chainrule.layers import Dense
from chainrule.layers.base import Layer
from chainrule.models import Sequential
from chainrule.nans import Watch
from chainrule.ops.declare import OBSERVER
from chainrule.runtime import Counters
from chainrule.trace import trace

X = np.array([1.0, 0.0, 2.0])
MASK = np.array([0.0, -np.inf, 0.0])


def loss(x):
    y = np.log(x)  # the line to be named
    return np.sum(y)


def grown(c, _):
    c = c - 1.0
    return np.sqrt(c), None


def caught(function, *args, **options):
    with cr.debug_nans(**options), pytest.raises(NotFiniteError) as found:
        function(*args)
    return found.value


@pytest.mark.parametrize("run", [cr.jit(loss), cr.grad(loss), cr.jit(cr.grad(loss)), lambda x: cr.vjp(loss, x),
                                 lambda x: cr.jvp(loss, (x,), (x,)), lambda x: cr.minimize(loss, x, jit=False)],
                         ids=["jit", "grad", "jit grad", "vjp", "jvp", "minimize"])
def test_names_the_operation_the_line_and_the_operand(run):
    error = caught(run, X)
    text = str(error)
    assert isinstance(error, FloatingPointError) and isinstance(error, ChainruleError)
    assert error.source.file == __file__ and error.source.line == loss.__code__.co_firstlineno + 1
    assert "y = np.log(x)  # the line to be named" in text and f"{__file__}:{error.source.line}: " in text
    if "minimize" not in text and error.operation == "log":
        assert "The operation log made -inf at [1] of float64[3] from finite operands." in text
        assert "= [1., 0., 2.], at [1]: 0.0" in text and "np.log(np.maximum(x, 1e-12))" in text


@pytest.mark.parametrize("wrap", [lambda f: f, cr.jit], ids=["un-jitted", "jitted"])
def test_backward_pass_says_what_it_is_the_derivative_of(wrap):
    error = caught(wrap(cr.grad(lambda x: np.sum(np.sqrt(x)))), X)
    assert error.operation == "div" and (error.source.of, error.source.part) == ("sqrt", "backward pass")
    assert "It belongs to the backward pass: to the derivative of sqrt" in str(error)


def test_second_derivatives_keep_the_operation_of_the_program():
    error = caught(cr.jit(cr.grad(lambda x: cr.grad(lambda t: t * np.sqrt(t))(x))), 0.0)
    assert error.source.of == "sqrt"


def test_forward_mode_is_not_called_backward_pass():
    error = caught(lambda: cr.jvp(np.sqrt, (0.0,), (1.0,)))
    assert error.source.part == "forward-mode derivative" and error.source.of == "sqrt"


@pytest.mark.parametrize("wrap", [cr.grad, cr.jit], ids=["un-jitted", "jitted"])
def test_nan_in_an_argument_is_reported_as_such(wrap):
    def f(params, x):
        return np.sum(params["w"][1] * x)
    error = caught(wrap(f), {"w": [X, np.array([1.0, 2.0, np.nan])]}, X)
    assert error.operation is None and "params['w'][1]" in str(error) and "already holds nan at [2]" in str(error)


def test_nan_in_a_constant_is_reported_as_such():
    error = caught(cr.jit(lambda x: x + np.array([0.0, np.nan, 0.0])), X)
    assert "Constant already holds nan at [1]" in str(error) and "First used by add" in str(error)


@pytest.mark.parametrize("wrap", [lambda f: cr.grad(lambda x, m: np.sum(f(x, m) ** 2)), cr.jit],
                         ids=["un-jitted", "jitted"])
@pytest.mark.parametrize("mask", ["argument", "constant"])
def test_infinities_that_were_given_are_no_error(wrap, mask):
    def softmax(x, m):
        z = x + (m if mask == "argument" else MASK)
        e = np.exp(z - np.max(z))
        return e / np.sum(e)
    with cr.debug_nans():
        assert np.isfinite(wrap(softmax)(X, MASK)).all()
        assert np.isinf(cr.jit(lambda x, m: x + m)(X, MASK)).sum() == 1


@pytest.mark.parametrize("wrap", [lambda f: cr.grad(lambda x, m: np.sum(f(x, m))), cr.jit],
                         ids=["un-jitted", "jitted"])
def test_nan_made_of_a_given_infinity(wrap):
    error = caught(wrap(lambda x, m: (x + m) - m), X, MASK)
    assert error.operation == "sub" and "made nan at [1]" in str(error) and "from infinite operands" in str(error)


def test_the_first_of_several_and_what_became_of_it():
    def f(x):
        big = np.exp(1000 * x)
        return big - big
    error = caught(cr.jit(f), X)
    assert error.operation == "exp" and "and 1 more, of" in str(error) and "From it sub made nan" in str(error)


def test_infinities_can_be_let_pass():
    with cr.debug_nans(infs=False):
        assert cr.jit(lambda x: 1 / x)(0.0) == np.inf
        assert cr.vjp(lambda x: 1 / x, 0.0)[0] == np.inf
    error = caught(cr.jit(lambda x: 1 / x - 1 / x), 0.0, infs=False)  # a NaN, and what it goes back to
    assert error.operation == "div" and "From it sub made nan" in str(error)


def test_what_does_not_reach_a_result_is_no_error_in_compiled_code():
    def f(x):
        return np.where(x > 0, np.log(x), 0.0)
    with cr.debug_nans():
        np.testing.assert_array_equal(cr.jit(f)(X), [0.0, 0.0, np.log(2.0)])

    def g(x):
        masked = np.where(x > 0, np.log(x), 0.0)  # its NaN is dropped: not to be blamed
        return masked + np.sqrt(x - 1)
    assert caught(cr.jit(g), X).operation == "sqrt"


@pytest.mark.parametrize("picked", [lambda y: y.T[1], lambda y: np.broadcast_to(y[1:2], (4, 2)),
                                    lambda y: y.reshape(4)[3:], lambda y: y[::-1][0]])
def test_views_are_seen_through(picked):
    def f(x):
        y = np.array([[0.0, 1.0], [2.0, -3.0]]) * x
        return picked(np.sqrt(y))
    error = caught(cr.jit(f), np.ones((2, 2)))
    assert error.operation == "sqrt" and "at [1, 1]" in str(error)


def test_reductions_and_products_are_followed():
    error = caught(cr.jit(lambda x: np.sum(np.outer(np.log(x), np.ones(2)) @ np.ones(2))), X)
    assert error.operation == "log"
    big = np.full((2, 2), 1e200)
    error = caught(cr.jit(lambda x: x @ x), big)
    assert error.operation == "contract" and "from 1e+200 to 1e+200" in str(error)


@pytest.mark.parametrize("wrap", [lambda f: f, cr.jit], ids=["un-jitted", "jitted"])
def test_scan_tells_the_turn(wrap):
    error = caught(wrap(lambda x: cr.scan(grown, x, length=9)[0]), 3.0)
    assert [turn for _, turn in error.loops] == [2] and error.operation == "sqrt"
    assert "turn 2 (counted from 0)" in str(error) and "return np.sqrt(c), None" in str(error)


def test_nested_loops_tell_every_turn():
    def outer(c, x):
        return cr.scan(lambda d, y: (d / y, None), c, x)[0], None
    rows = np.ones((3, 4))
    rows[1, 2] = 0
    error = caught(cr.jit(lambda r: cr.scan(outer, 1.0, r)[0]), rows)
    assert [turn for _, turn in error.loops] == [1, 2] and error.operation == "div"


def test_what_goes_into_a_loop_is_blamed_outside():
    error = caught(cr.jit(lambda x: cr.scan(lambda c, _: (c + np.sum(np.log(x)), None), 0.0, length=3)[0]), X)
    assert error.operation == "log" and not error.loops
    error = caught(cr.jit(lambda x: cr.scan(lambda c, _: (c + x[1], None), 0.0, length=3)[0]), X * np.nan)
    assert "Argument x already holds nan at [0]" in str(error)


def test_minimize():
    error = caught(lambda: cr.minimize(lambda x: x**4 - 3 * x, 10.0, cr.optimizers.SGD(0.5)))
    assert error.operation == "mul" and error.loops


def test_variables():
    v, = cr.variables(v=0.0)
    with cr.debug_nans():
        f = np.sqrt(v)
    error = caught(f.backward)
    assert error.source.of == "sqrt"


# ---------------------------------------------------------------- training


class Log(Layer):
    """A layer that is not defined for all its inputs."""

    def call(self, x, training=False):
        return np.log(x)


def model_of(*between, rate=0.01):
    rng = np.random.default_rng(3)
    cr.set_seed(3)
    x, y = rng.random((25, 4), np.float32), rng.random((25, 1), np.float32)
    model = Sequential([Dense(8, input_dim=4, activation="tanh"), *between, Dense(1)])
    model.compile(cr.optimizers.SGD(rate), "mse")
    return model, x, y


def test_fit_tells_epoch_step_layer_and_line():
    model, x, y = model_of(Log())
    model.adopt()
    before = model.get_weights()
    error = caught(lambda: model.fit(x, y, epochs=3, batch_size=10, verbose=0))
    text = str(error)
    assert "In epoch 1 of 3, step 1 of 3; the model keeps" in text and "In layer 'log'." in text
    assert "return np.log(x)" in text and not error.loops
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_fit_tells_what_overflowed_and_goes_on_if_all_is_well():
    model, x, y = model_of(rate=1e20)
    text = str(caught(lambda: model.fit(x, y, epochs=3, batch_size=10, verbose=0)))
    assert re.search(r"In (layer|loss|optimizer) .*\n(.*\n)*.*step 2 of 3", text)
    model, x, y = model_of()
    with cr.debug_nans():
        history = model.fit(x, y, epochs=2, batch_size=10, verbose=0)
    assert len(history.history["loss"]) == 2


def test_fit_tells_the_short_last_batch():
    model, x, y = model_of(rate=1e20)
    text = str(caught(lambda: model.fit(x[:11], y[:11], epochs=1, batch_size=10, verbose=0, shuffle=False)))
    assert "In epoch 1 of 1, step 2, the short last batch" in text


def test_donated_arrays_are_given_back():
    x = X.copy()
    caught(cr.jit(np.log, donate=(0,)), x)
    np.testing.assert_array_equal(x, X)


# ---------------------------------------------------------------- the switch


def test_native_and_numpy_may_differ_and_that_is_said():
    graph = trace(lambda x: x * 2, X)
    outputs = [np.full(3, np.nan)]
    with pytest.raises(NotFiniteError, match="gave nan at \\[0\\] of result 0, but evaluated by NumPy it gives finite"):
        Watch(infs=True).run(graph, [X], [], outputs, lambda: None)


def test_on_off_and_nesting():
    assert OBSERVER.get() is None
    with cr.debug_nans():
        with cr.debug_nans(False):
            assert cr.jit(loss)(X) == -np.inf
        with pytest.raises(NotFiniteError):
            cr.jit(loss)(X)
    assert OBSERVER.get() is None
    cr.debug_nans(True)
    try:
        with pytest.raises(NotFiniteError):
            cr.grad(loss)(X)
    finally:
        cr.debug_nans(False)
    assert np.isinf(cr.grad(loss)(X)).any()


def test_other_threads_are_left_alone():
    results = []
    with cr.debug_nans():
        thread = threading.Thread(target=lambda: results.append(cr.jit(loss)(X)))
        thread.start()
        thread.join()
    assert results == [-np.inf]


def test_nothing_is_compiled_anew():
    f = cr.jit(lambda x: np.sum(np.exp(x)))
    f(X)
    before = Counters.compiled, Counters.loaded
    with cr.debug_nans():
        f(X)
    assert (Counters.compiled, Counters.loaded) == before


# ---------------------------------------------------------------- other transformations


def test_branches_are_looked_into():
    def f(x):
        return cr.cond(x > 0, lambda v: v * 2, lambda v: np.log(v), x)
    error = caught(cr.jit(f), -1.0)
    assert error.operation == "log" and not error.loops
    with cr.debug_nans():
        assert cr.jit(f)(1.0) == 2.0
    error = caught(cr.jit(f), np.nan)
    assert "Argument x already holds nan" in str(error)


def test_while_loops_tell_the_turn():
    error = caught(cr.jit(lambda x: cr.while_loop(lambda c: c < 1e300, lambda c: 1 / (c - 3.0), x)), 3.0)
    assert error.operation == "div" and error.loops[0][1] == 0
    assert error.loops[0][0].startswith("while (test_debug.py:")


def test_backward_through_a_loop():
    def f(x):
        return cr.scan(lambda c, _: (np.sqrt(c), None), x, length=3)[0]
    error = caught(cr.jit(cr.grad(f)), 0.0)
    assert (error.source.of, error.source.part) == ("sqrt", "backward pass") and error.loops


@pytest.mark.parametrize("wrap", [lambda f: f, cr.jit], ids=["un-jitted", "jitted"])
def test_batches_and_checkpoints(wrap):
    assert caught(wrap(cr.vmap(cr.grad(np.sqrt))), X).source.of == "sqrt"
    assert caught(wrap(cr.grad(cr.checkpoint(lambda x: np.sum(np.sqrt(x) * x)))), X).source.of == "sqrt"
