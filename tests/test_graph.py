"""What graphs look like in print, and what they cost."""

import numpy as np
import pytest

import chainrule as cr
from chainrule.layers import Dense
from chainrule.models import Sequential
from chainrule.trace import trace

W = {"w": [np.ones((4, 3), np.float32)], "b": np.ones(3, np.float32)}
X = np.ones((5, 4), np.float32)


def network(params, x):
    return np.sum(np.tanh(x @ params["w"][0] + params["b"]) * 2.0)


def test_names_of_arguments_and_constants_in_place():
    assert str(trace(network, W, X)) == """\
graph(params['b']: float32[3], params['w'][0]: float32[4, 3], x: float32[5, 4])
  %1 = contract(x, params['w'][0]) ab,bc->ac          float32[5, 3]
  %2 = broadcast(params['b']) shape=(5, 3) dims=(1,)  float32[5, 3]
  %3 = add(%1, %2)                                    float32[5, 3]
  %4 = tanh(%3)                                       float32[5, 3]
  %5 = mul(%4, 2.0)                                   float32[5, 3]
  %6 = sum(%5) axes=(0, 1)                            float32[]
  return %6"""


def test_bodies_of_loops():
    def run(start, rows):
        def step(total, row):
            return total + np.sum(row * start), total
        return cr.scan(step, 0.0, rows)
    assert str(trace(run, 3.0, np.ones((5, 2)))) == """\
graph(start: float64[], rows: float64[5, 2])
  %1 = broadcast(start) shape=(2,) dims=()              float64[2]
  %2 = scan(0.0, rows, %1) carries=1 sliced=1 length=5  (float64[], float64[5])
    body:
      graph(total: float64[], row: float64[2], %1: float64[2])
        %2 = mul(row, %1)       float64[2]
        %3 = sum(%2) axes=(0,)  float64[]
        %4 = add(total, %3)     float64[]
        return %4, total
  %3 = project(%2) index=0                              float64[]
  %4 = project(%2) index=1                              float64[5]
  return %3, %4"""


def test_sources_on_request():
    text = trace(cr.grad(lambda x: np.sum(np.sqrt(x))), np.ones(2)).text(sources=True)
    line = test_sources_on_request.__code__.co_firstlineno + 1
    assert f"# test_graph.py:{line}\n" in text and f"# test_graph.py:{line}, backward pass of sqrt\n" in text


def test_sources_name_the_layer():
    model = Sequential([Dense(3, input_dim=4, name="first"), Dense(1)])
    text = trace(lambda x: model.call(x), X).text(sources=True)
    assert ", layer 'first'\n" in text and ", layer 'dense'\n" in text


def test_many_arguments_have_a_line_each():
    names = [f"argument_number_{k}" for k in range(8)]
    text = str(trace(eval(f"lambda {', '.join(names)}: {' + '.join(names)}"), *range(8)))
    assert text.startswith("graph(\n  argument_number_0: int64[],\n") and "\n)\n  %1 = add(" in text


def test_long_constants_are_shortened_and_names_that_occur_twice_are_numbered():
    text = str(trace(lambda x: x + np.arange(1000.0), np.ones(1000)))
    assert "constant [  0.,   1., ..., 998., 999.]" in text
    x, = cr.variables(x=2.0)
    y = x * x
    y.name = "x"
    assert "x" not in str(y.graph).replace("max", "")


def test_the_names_are_no_part_of_the_meaning():
    assert trace(lambda a: a * 2, X).key == trace(lambda b: b * 2, X).key


# ---------------------------------------------------------------- cost


def test_cost_of_a_network():
    cost = trace(network, W, X).cost()
    rows = cost.families
    assert list(rows) == ["contractions", "reductions", "elementwise"]
    assert rows["contractions"].flops == 2 * 5 * 4 * 3 and rows["contractions"].bytes == 4 * (20 + 12 + 15)
    assert rows["reductions"].flops == 15
    assert rows["elementwise"].flops == 30 and rows["elementwise"].special == 15
    # add reads 15 and the bias (3, seen through a view), tanh 15, mul 15 and one number; each writes 15
    assert rows["elementwise"].bytes == 4 * (15 + 3 + 15 + 15 + 15 + 15 + 1 + 15)
    assert (cost.flops, cost.special, cost.parameters) == (165, 15, 15)
    assert cost.bytes == sum(r.bytes for r in rows.values())


@pytest.mark.parametrize("length", [1, 7])
def test_loops_count_by_their_length(length):
    def run(w, x):
        return cr.scan(lambda c, row: (c + np.exp(row @ w), None), np.zeros(3), x)[0]
    cost = trace(run, np.ones((4, 3)), np.ones((length, 4))).cost()
    assert (cost.flops, cost.special) == (length * (2 * 4 * 3 + 3), length * 3)


def test_parameters_are_the_first_argument_unless_told():
    graph = trace(network, W, X)
    assert graph.cost().parameters == 15 and graph.cost(parameters=3).parameters == 35
    assert trace(lambda: np.zeros(3)).cost().parameters == 0


def test_gradient_costs_about_three_times_as_much():
    once = trace(network, W, X).cost().families["contractions"].flops
    both = trace(cr.grad(lambda p, x: network(p, x)), W, X).cost().families["contractions"].flops
    assert both == 2 * once  # forward, and backward to the weights only: x is not differentiated


def test_data_movement_has_no_flops():
    row = trace(lambda x: np.concatenate([x, x]), X).cost().families["data movement"]
    assert (row.flops, row.special, row.bytes) == (0, 0, 4 * 80)


def test_the_table():
    assert str(trace(network, W, X).cost()) == repr(trace(network, W, X).cost()) == """\
              operations  flops  special  bytes
contractions           1    120        0    188
reductions             1     15        0     64
elementwise            3     30       15    376
total                  5    165       15    628
parameters: 15"""
