"""Derivatives of functions: nesting, containers, control flow, modes, and clear errors."""

import numpy as np
import pytest
from support import reference

import chainrule.numpy  # noqa: F401
from chainrule import runtime
from chainrule.autodiff import finite_difference, grad, jvp, value_and_grad, vjp
from chainrule.check import WrongDerivative, check_grads
from chainrule.compiler.simplify import simplify
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError, TracedValueError
from chainrule.ops.declare import REGISTRY
from chainrule.ops.elementwise import stop_gradient
from chainrule.trace import Tracer, record

rng = np.random.default_rng(0)
X = rng.normal(size=5)


def f(x):
    return np.sum(np.tanh(x) ** 2 * x)


def test_value_and_grad():
    value, gradient = value_and_grad(f)(X)
    assert value == pytest.approx(f(X)) and isinstance(value, np.float64)
    np.testing.assert_allclose(gradient, finite_difference(f, (X,)), rtol=1e-8)
    assert type(gradient) is np.ndarray and gradient.dtype == np.float64


def test_scalars_give_scalars():
    slope = grad(lambda x: x**3)(2.0)
    assert slope == 12.0 and isinstance(slope, np.float64)
    assert grad(lambda x: x**3)(np.float32(2)).dtype == np.float32


def test_grad_of_grad():
    g = grad(grad(grad(lambda x: np.sin(x) * x)))
    x = 0.7
    assert g(x) == pytest.approx(-3 * np.sin(x) - x * np.cos(x), rel=1e-14)
    assert reference(g, x) == pytest.approx(g(x), rel=1e-14)
    assert runtime.jit(g)(x) == pytest.approx(g(x), rel=1e-13)


def test_hessian_vector_product_both_ways():
    v = rng.normal(size=5)
    over = jvp(grad(f), (X,), (v,))[1]
    back = grad(lambda x: np.sum(grad(f)(x) * v))(X)
    np.testing.assert_allclose(over, back, rtol=1e-12)


def test_derivatives_do_not_mix_with_those_of_enclosing_functions():
    # the classic of perturbation confusion: d/dx [x · d/dy (x + y)] = 1
    assert grad(lambda x: x * grad(lambda y: x + y)(2.0))(3.0) == 1.0
    assert grad(lambda x: x * grad(lambda y: x * y * y)(2.0))(3.0) == 24.0
    assert jvp(lambda x: x * jvp(lambda y: x * y, (2.0,), (1.0,))[1], (3.0,), (1.0,))[1] == 6.0


def test_closures():
    w = rng.normal(size=(5, 5))

    def outer(x):
        def inner(v):
            return np.sum((w @ v) * x)
        return np.sum(grad(inner)(x) ** 2)
    check_grads(outer, (X,), order=2)
    np.testing.assert_allclose(grad(lambda x: np.sum(grad(lambda v: np.sum((w @ v) * x))(X)))(X), w.sum(1))


def test_nested_containers():
    params = {"layers": [(np.ones((2, 3)), np.zeros(3)), (np.ones((3, 1)), 0.5)], "scale": np.float64(2.0),
              "none": None}

    def loss(p, x):
        for w, b in p["layers"]:
            x = np.tanh(x @ w + b)
        return np.sum(x) * p["scale"]
    x = rng.normal(size=(4, 2))
    gradient = grad(loss)(params, x)
    assert gradient["layers"][0][0].shape == (2, 3) and gradient["none"] is None
    assert isinstance(gradient["layers"][1], tuple) and np.shape(gradient["layers"][1][1]) == ()
    expected = finite_difference(loss, (params | {"none": None}, x))
    np.testing.assert_allclose(gradient["layers"][0][0], expected["layers"][0][0], rtol=1e-6)
    compiled = runtime.jit(grad(loss))(params, x)
    np.testing.assert_allclose(compiled["layers"][0][0], gradient["layers"][0][0], rtol=1e-12)
    check_grads(lambda p: loss(p, x), (params,), order=2)


def test_argnums():
    g = lambda x, y, z: np.sum(x * y + z)
    x, y, z = rng.normal(size=(3, 4))
    np.testing.assert_array_equal(grad(g, 1)(x, y, z), x)
    both = grad(g, (0, -1))(x, y, z)
    assert isinstance(both, tuple)
    np.testing.assert_array_equal(both[0], y)
    np.testing.assert_array_equal(both[1], np.ones(4))


def test_has_aux():
    def with_aux(x):
        y = x * 2
        return np.sum(y * y), {"y": y, "name": 3}
    (value, aux), gradient = value_and_grad(with_aux, has_aux=True)(X)
    np.testing.assert_array_equal(aux["y"], 2 * X)
    assert type(aux["y"]) is np.ndarray and aux["name"] == 3 and value == pytest.approx(4 * np.sum(X * X))
    gradient2, aux2 = grad(with_aux, has_aux=True)(X)
    np.testing.assert_array_equal(gradient, gradient2)
    np.testing.assert_array_equal(aux2["y"], aux["y"])


def test_keyword_arguments_and_integers_pass_through():
    def g(x, n, *, power=1):
        return np.sum(x[:n] ** power)
    np.testing.assert_allclose(grad(g)(X, 3, power=2), [2 * X[0], 2 * X[1], 2 * X[2], 0, 0])


def test_control_flow_follows_values():
    def g(x):
        total = 0.0
        while x < 10:
            total = total + x if x < 5 else total + x * x
            x = x * 2
        return total
    check_grads(g, (0.9,), order=2)
    assert grad(lambda x: x if x > 0 else -x)(-3.0) == -1.0
    assert grad(lambda x: sum(v * v for v in x if v > 0))(np.array([1.0, -2.0, 3.0])).tolist() == [2.0, 0.0, 6.0]


def test_no_dependence_gives_zeros():
    np.testing.assert_array_equal(grad(lambda x: 3.0)(X), np.zeros(5))
    np.testing.assert_array_equal(grad(lambda x: np.sum(np.floor(x)))(X), np.zeros(5))
    np.testing.assert_array_equal(grad(lambda x: np.sum(stop_gradient(x) * x))(X), X)
    g = grad(lambda x, y: np.sum(x), (0, 1))(X, X)
    np.testing.assert_array_equal(g[1], np.zeros(5))


def test_results_belong_to_the_caller():
    c = rng.normal(size=5)
    g = grad(lambda x: np.sum(x * c))(X)
    g += 1  # neither read-only nor the array that was multiplied by
    assert not np.array_equal(g, c)
    ones = grad(np.sum)(X)
    ones += 1
    before = X.copy()
    grad(f)(X)[...] = 0
    np.testing.assert_array_equal(X, before)


def test_float32_stays_float32():
    g = grad(lambda x: np.mean(np.exp(x * 0.5) / 3 + 2.0) * 1.5)(X.astype(np.float32))
    assert g.dtype == np.float32


def test_vjp_and_jvp():
    def g(x, y):
        return np.outer(x, y), {"s": np.sum(x)}
    x, y = rng.normal(size=3), rng.normal(size=2)
    (out, more), pull = vjp(g, x, y)
    np.testing.assert_array_equal(out, np.outer(x, y))
    ct = rng.normal(size=(3, 2))
    dx, dy = pull((ct, {"s": 2.0}))
    np.testing.assert_allclose(dx, ct @ y + 2.0)
    np.testing.assert_allclose(dy, ct.T @ x)
    (_, _), (t, ts) = jvp(g, (x, y), (np.ones(3), np.zeros(2)))
    np.testing.assert_allclose(t, np.outer(np.ones(3), y))
    assert ts["s"] == 3.0
    assert jvp(lambda x: 2.0, (1.0,), (1.0,)) == (2.0, 0.0)
    _, pull = vjp(lambda x: 2.0, x)
    np.testing.assert_array_equal(pull(1.0)[0], np.zeros(3))


def test_nothing_traced_is_left_in_results():
    def leaves(result):
        return [x for x in np.ravel(np.array(result, dtype=object)) if isinstance(x, Tracer)]
    assert not leaves(value_and_grad(f)(X))
    kept = []
    grad(lambda x: np.sum(kept.append(x * 2) or x))(X)
    assert isinstance(kept[0], Tracer)  # what a function keeps for itself stays recorded, and acts as a constant
    np.testing.assert_allclose(grad(lambda x: np.sum(x * kept[0]))(X), 2 * X)


def test_under_jit_the_graph_is_linear_in_size():
    def deep(x):
        for _ in range(50):
            x = np.sin(x) * x
        return np.sum(x)
    graph = record(grad(deep), (X,))[0]
    assert len(graph.nodes) < 50 * 12


def test_large_fan_in_of_reused_values():
    def g(x):
        y = x
        for _ in range(30):
            y = y + y  # 2^30 paths, 30 nodes
        return np.sum(y)
    np.testing.assert_array_equal(grad(g)(X), np.full(5, 2.0**30))


def test_what_was_recorded_twice_is_transposed_once():
    xs, weights = rng.normal(size=(6, 3)), (rng.normal(size=(3, 4)), rng.normal(size=(4, 2)))

    def loss(weights, xs, again):
        def network(x):
            return np.tanh(x @ weights[0]) @ weights[1]
        value, along = jvp(network, (xs,), (np.ones_like(xs),))
        return np.sum((network(xs) if again else value) * along)

    def products(again):
        graph = simplify(record(grad(lambda weights, xs: loss(weights, xs, again)), (weights, xs))[0])
        return [node.op.name for node in graph.nodes].count("contract")
    assert products(True) == products(False)
    check_grads(lambda weights: loss(weights, xs, True), (weights,), order=1)


def test_compiled_functions_inside_others():
    inner = runtime.jit(lambda x: np.sin(x) * x)
    expected = grad(lambda x: np.sum(np.sin(x) * x))(X)
    np.testing.assert_allclose(grad(lambda x: np.sum(inner(x)))(X), expected)
    np.testing.assert_allclose(runtime.jit(grad(lambda x: np.sum(inner(x))))(X), expected, rtol=1e-13)


def test_gradients_carry_the_line_of_what_they_are_derived_from():
    def g(x):
        y = np.sin(x)
        return np.sum(y * y)
    line = g.__code__.co_firstlineno + 1
    graph = record(grad(g), (X,))[0]
    assert {n.source.line for n in graph.nodes if n.op.name == "cos"} == {line}


# ---------------------------------------------------------------- errors


def test_value_dependent_branch_under_jit_names_the_line():
    def g(x):
        return x if x > 0 else -x
    with pytest.raises(TracedValueError,
                       match=rf"line {g.__code__.co_firstlineno + 1} of .*test_autodiff.py") as caught:
        runtime.jit(g)(1.0)
    assert "np.where" in str(caught.value)


@pytest.mark.parametrize(("run", "error", "message"), [
    (lambda: grad(lambda x: x)(X), ShapeError, "array of shape"),
    (lambda: grad(lambda x: (x, x))(1.0), ShapeError, "tuple"),
    (lambda: grad(lambda x: None)(1.0), ShapeError, "NoneType"),
    (lambda: grad(lambda x: np.argmax(x))(X), ChainruleTypeError, "int64"),
    (lambda: grad(lambda x: np.sum(x))(np.arange(3)), ChainruleTypeError, "argument 0 of dtype int64"),
    (lambda: grad(lambda x: x)(1), ChainruleTypeError, "argument 0"),
    (lambda: grad(lambda x: x)("a"), ChainruleTypeError, "type str"),
    (lambda: grad(lambda x: x, argnums=2)(1.0), ArgumentError, "argnums=2"),
    (lambda: grad(lambda x: x)(), ArgumentError, "0 positional"),
    (lambda: jvp(f, (X,), (np.ones(3),)), ShapeError, "tangent of shape"),
    (lambda: jvp(f, (X,), (X, X)), ShapeError, "2 tangents"),
    (lambda: vjp(lambda x: x * 2, X)[1](np.ones(3)), ShapeError, "cotangent of shape"),
    (lambda: vjp(lambda x: (x, x), X)[1](X), ShapeError, "structure"),
    (lambda: grad(lambda x: float(x) ** 2)(2.0), TracedValueError, r"x\.item\(\)"),
])
def test_wrong_use(run, error, message):
    with pytest.raises(error, match=f"(?i){message}"):
        run()


def test_check_grads_finds_wrong_rules(monkeypatch):
    monkeypatch.setitem(REGISTRY["sin"].__dict__, "jvp", lambda t, x, out: REGISTRY["mul"](t[0], 2.0))
    with pytest.raises(WrongDerivative, match=r"(?i)forward derivative \(order 1\)"):
        check_grads(np.sin, (X,), order=1)
    with pytest.raises(AssertionError, match="(?i)reverse"):
        check_grads(np.sin, (X,), order=1, modes=("reverse",))


def test_check_grads_finds_wrong_second_derivatives(monkeypatch):
    monkeypatch.setitem(REGISTRY["cos"].__dict__, "jvp", lambda t, x, out: t[0])
    check_grads(np.sin, (X,), order=1)
    with pytest.raises(WrongDerivative, match="(?i)forward over forward|order 2"):
        check_grads(np.sin, (X,), order=2)


def test_check_grads_wrong_arguments():
    with pytest.raises(ArgumentError, match="sideways"):
        check_grads(f, (X,), modes=("sideways",))
    with pytest.raises(ChainruleTypeError, match="int64"):
        check_grads(f, (np.arange(3),))


def test_a_gradient_by_traced_and_concrete_arrays_at_once_compiles():
    x, w = np.array([0.3, -0.7]), np.array([[1.0, 2.0], [0.5, -1.0]])

    def outer(x):
        return np.sum(np.cos(grad(lambda p: np.sum(np.tanh(p[0] @ p[1])))((x, w))[0]))
    np.testing.assert_allclose(runtime.jit(grad(outer))(x), grad(outer)(x), rtol=1e-12)
