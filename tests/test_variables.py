"""The textbook graph: values forward, gradients backward, at every node."""

import numpy as np
import pytest

import chainrule.numpy  # noqa: F401
from chainrule.autodiff import finite_difference, grad
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.variables import Variable, variables


@pytest.fixture
def textbook():
    x, y, z = variables(x=1.0, y=3.0, z=-3.0)
    p = x + y
    return x, y, z, p, p * z


def test_textbook(textbook):
    x, y, z, p, f = textbook
    assert (p.value, f.value) == (4.0, -12.0)
    assert x.grad is None and p.grad is None
    f.backward()
    assert (x.grad, y.grad, z.grad, p.grad, f.grad) == (-3.0, -3.0, 4.0, -3.0, 1.0)
    assert all(type(v.grad) is float and type(v.value) is float for v in textbook)


def test_print(textbook):
    x, _, _, p, f = textbook
    assert repr(x) == "x = 1.0" and repr(f) == "-12.0"
    p.name = "p"
    f.backward()
    assert repr(x) == "x = 1.0, grad -3.0" and repr(p) == "p = 4.0, grad -3.0"
    assert str(f.graph) == """\
graph(x: float64[], y: float64[], z: float64[])
  x = 1.0, grad -3.0
  y = 3.0, grad -3.0
  z = -3.0, grad 4.0
  p = add(x, y)   float64[] = 4.0, grad -3.0
  %1 = mul(p, z)  float64[] = -12.0, grad 1.0
  return %1"""


def test_reused_variables_add_up():
    (x,) = variables(x=3.0)
    f = x * x + x
    f.backward()
    assert x.grad == 7.0


def test_backward_starts_afresh(textbook):
    x, y, _, p, f = textbook
    f.backward()
    f.backward()
    assert x.grad == -3.0
    p.backward()
    assert (x.grad, y.grad, p.grad) == (1.0, 1.0, 1.0)


def test_node_used_twice_in_between():
    x, y = variables(x=2.0, y=5.0)
    p = x * y
    f = p * p + np.sin(p) - 2 * p
    f.backward()
    assert p.grad == pytest.approx(2 * 10 + np.cos(10) - 2, abs=1e-12)
    assert x.grad == pytest.approx(5 * p.grad) and y.grad == pytest.approx(2 * p.grad)


def test_arrays_and_numpy_functions():
    w = np.arange(6.0).reshape(2, 3) / 7
    v = np.array([0.5, -1.0, 2.0])
    W, x, b = variables(W=w, x=v, b=[0.1, 0.2])
    h = np.tanh(W @ x + b)
    loss = np.sum(h**2) + np.mean(W[:, 1:]) * x[0]
    assert isinstance(h, Variable) and isinstance(loss, Variable)
    loss.backward()

    def plain(W, x, b):  # noqa: N803
        return np.sum(np.tanh(W @ x + b)**2) + np.mean(W[:, 1:]) * x[0]
    for i, (variable, node_grad) in enumerate(zip((W, x, b), (W.grad, x.grad, b.grad), strict=True)):
        expected = finite_difference(plain, (w, v, np.array([0.1, 0.2])), i)
        assert type(node_grad) is np.ndarray and node_grad.shape == variable.shape
        np.testing.assert_allclose(node_grad, expected, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(h.grad, 2 * h.value)


def test_unused_and_constant_parts():
    x, y = variables(x=2.0, y=1.0)
    f = x * 3.0 + np.floor(x * y)
    f.backward()
    assert (x.grad, y.grad) == (3.0, 0.0)
    (z,) = variables(z=1.0)
    assert z.grad is None


def test_control_flow_follows_values():
    (x,) = variables(x=2.0)
    y = x
    while y < 100:
        y = y * x if y.value < 50 else y + 40
    y.backward()
    assert y.value == 2.0**6 + 40 and x.grad == 6 * 2.0**5


def test_values_are_copies(textbook):
    (x,) = variables(x=np.ones(3))
    np.sum(x * x).backward()
    x.grad[...] = 9
    x.value[...] = 9
    np.testing.assert_array_equal(x.grad, 2 * np.ones(3))


def test_whole_numbers_and_float32():
    x, y = variables(x=2, y=np.float32(3))
    assert x.dtype == np.float64 and y.dtype == np.float32
    f = y * y
    f.backward()
    assert f.dtype == np.float32 and y.grad == 6.0


def test_grad_of_a_function_of_variables():
    (x,) = variables(x=3.0)
    slope = grad(lambda v: v**3)(x)
    assert float(slope.node.value) == 27.0


@pytest.mark.parametrize("value", ["a", None, [[1.0], [2.0, 3.0]], 1j, True, object()])
def test_what_is_no_number(value):
    with pytest.raises(ChainruleTypeError, match="the variable x|The variable x"):
        variables(x=value)


def test_wrong_calls(textbook):
    with pytest.raises(ArgumentError):
        variables()
    (x,) = variables(x=np.ones(3))
    with pytest.raises(ShapeError, match="np.sum"):
        (x * 2).backward()
    with pytest.raises(ChainruleTypeError, match="bool"):
        (textbook[0] > 0).backward()
