"""What jit takes: arguments by name, static arguments, donated buffers; what it says where something does not fit."""

import numpy as np
import pytest

import chainrule as cr
from chainrule import addresses, runtime
from chainrule.errors import ArgumentError, ChainruleTypeError, ShapeError
from chainrule.runtime import Counters

X = np.arange(6.0).reshape(2, 3)


def total(x, axis=None, *, scale=1.0, how="sum"):
    return getattr(np, how)(x, axis=axis) * scale


def test_arguments_by_name():
    f = cr.jit(lambda x, y: x - 2 * y)
    assert f(y=1.0, x=5.0) == f(5.0, y=1.0) == f(5.0, 1.0) == 3.0


def test_static_arguments():
    f = cr.jit(total, static_argnames=("axis", "how"))
    np.testing.assert_array_equal(f(X, 0), X.sum(0))
    np.testing.assert_array_equal(f(X, axis=1, scale=2.0), 2 * X.sum(1))
    np.testing.assert_array_equal(f(X, (0, 1), how="max"), 5.0)
    assert "4 signatures" in repr((f(X, 1), f)[1])


def test_equal_static_arguments_compile_nothing():
    f = cr.jit(total, static_argnames="axis")
    f(X, 1)
    before = Counters.compiled, Counters.loaded, Counters.reused
    f(X + 1, 1)
    assert (Counters.compiled, Counters.loaded, Counters.reused) == before


def test_static_values_of_other_types_are_other_programs():
    f = cr.jit(lambda x, flag: x * (2 if flag is True else 3), static_argnames="flag")
    assert f(1.0, True) == 2 and f(1.0, 1) == 3


def test_within_a_recording():
    f = cr.jit(total, static_argnames=("axis", "how"))
    np.testing.assert_array_equal(cr.grad(lambda x: np.sum(f(x, 0, how="max", scale=2.0)))(X), [[0, 0, 0], [2, 2, 2]])


def test_long_arrays_begin_at_a_cache_line():
    """Results do, also those in the place of an argument that begins elsewhere; a short one may begin anywhere."""
    x = cr.aligned(np.zeros(10_004, np.float32))[4:]
    assert x.ctypes.data % 64 == 16
    f = cr.jit(lambda x: x + 1, donate=(0,))
    y = f(x)
    assert y.ctypes.data % 64 == 0 and f(y) is y and (y == 2).all()
    assert cr.jit(lambda x: x + 1)(x).ctypes.data % 64 == 0
    assert cr.jit(lambda x: x + 1).bind(x).result.ctypes.data % 64 == 0
    for array in (np.arange(6.0).reshape(2, 3), np.ones((500, 300), np.float16), 5):
        copy = cr.aligned(array)
        assert copy.ctypes.data % 64 == 0 and copy.dtype == np.asarray(array).dtype and copy.flags.writeable
        np.testing.assert_array_equal(copy, array)
    with pytest.raises(ArgumentError, match="dtype object"):
        cr.aligned([object()])


def test_a_call_like_the_last_one_is_looked_at_anew(monkeypatch):
    f = cr.jit(lambda p, x: p["w"] * x)
    wide = np.arange(12.0).reshape(3, 4)
    given = [wide[:, :2], wide[:, 2:], wide[:, 2:].copy(), wide[:, ::2].astype(np.float32), np.float64(3), 2,
             np.array(2)]
    for x in [*given, *given[::-1]]:
        y = f({"w": np.float32([[2]])}, x)
        np.testing.assert_array_equal(y, 2 * x)
        assert y.dtype == (np.float32([[2]]) * x).dtype
    monkeypatch.setattr(runtime, "DIRECT", False)
    monkeypatch.setattr(addresses, "DIRECT", False)  # where an array object is not found by its address
    f = cr.jit(lambda x: x + 1.5)
    np.testing.assert_array_equal(f(wide), wide + 1.5)


def test_donated_positions_are_those_of_the_call():
    f = cr.jit(lambda how, x: x * 2 if how == "double" else x, donate=(1,), static_argnames="how")
    x = np.ones(3)
    assert f("double", x) is x
    np.testing.assert_array_equal(x, 2.0)


def test_stages_of_what_was_called_last(capsys):
    f = cr.jit(total, static_argnames="axis")
    f(X, axis=1)
    f.show("graph")
    assert "axes=(1,)" in capsys.readouterr().out
    f.show("loops", X, axis=0)
    assert "sum" in capsys.readouterr().out


@pytest.mark.parametrize(("run", "error", "message"), [
    (lambda: cr.jit(total, static_argnames="axes"), ArgumentError, "axes"),
    (lambda: cr.jit(total, static_argnames="axis")(X, [0]), ChainruleTypeError, "hashable"),
    (lambda: cr.jit(total, static_argnames="axis")(X, np.ones(2)), ChainruleTypeError, "hashable"),
    (lambda: cr.jit(lambda a, b: a @ b)(X, X), ShapeError, r"\(2, 3\) and \(2, 3\): 3 columns against 2 rows"),
    (lambda: cr.jit(lambda a, b: a + b)(np.ones(2), np.ones(3)), ShapeError, r"\(2,\) and \(3,\)"),
    (lambda: cr.jit(lambda x: x.reshape(4, 2))(X), ShapeError, r"\(2, 3\) \(6 elements\) to \(4, 2\)"),
    (lambda: cr.jit(lambda x, how: x)(X, "sum"), ChainruleTypeError, "static_argnames")])
def test_what_does_not_fit(run, error, message):
    with pytest.raises(error, match=message):
        run()


def test_many_signatures_deserve_a_word(monkeypatch):
    monkeypatch.setattr("chainrule.runtime._MANY", 3)
    f = cr.jit(lambda x: x + 1)
    with pytest.warns(UserWarning, match=r"compiled for 3 signatures, the latest with float64\[3\]"):
        for n in range(1, 5):
            f(np.ones(n))
