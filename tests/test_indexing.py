"""x[key] is NumPy's for random keys: recorded, compiled, and in the gradient."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import assert_same, reference

import chainrule as cr
from chainrule import runtime
from chainrule.autodiff import grad, jvp
from chainrule.errors import ChainruleTypeError
from chainrule.trace import trace


@st.composite
def arrays_and_keys(draw):
    """An array, and a tuple of keys that NumPy takes, or refuses because arrays among them do not broadcast."""
    shape = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=4)))
    x = np.arange(1.0, 1.0 + int(np.prod(shape))).reshape(shape)
    picked = draw(st.sampled_from([(), (1,), (2,), (3,), (2, 3), (1, 3), (0,)]))
    keys, axis, dots = [], 0, False
    while axis < len(shape):
        n = shape[axis]
        kinds = ["slice", "slice", "new", "mask", *(("int", "array", "array") if n else ())]
        kind = draw(st.sampled_from(kinds if dots else [*kinds, "dots", "stop"]))
        if kind == "stop":
            break
        if kind == "new":
            keys.append(None)
            continue
        if kind == "dots":
            keys.append(...)
            dots = True
            axis = max(axis, draw(st.integers(axis, len(shape))))
            continue
        if kind == "slice":
            ends = st.one_of(st.none(), st.integers(-6, 6))
            keys.append(slice(draw(ends), draw(ends), draw(st.sampled_from([None, 1, 2, 3, -1, -2, -3]))))
        elif kind == "int":
            keys.append(draw(st.integers(-n, n - 1)))
        elif kind == "array":
            size = int(np.prod(picked))
            keys.append(np.array(draw(st.lists(st.integers(-n, n - 1), min_size=size, max_size=size)),
                                 dtype=draw(st.sampled_from([np.int64, np.int32, np.int8]))).reshape(picked))
        else:
            keys.append(np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=bool))
        axis += 1
    return x, tuple(keys)


def numpys(x, key):
    try:
        return x[key]
    except IndexError:  # arrays that do not broadcast
        return None


def weights(shape):
    return np.cos(np.arange(float(np.prod(shape)))).reshape(shape)


@settings(max_examples=300, deadline=None)
@given(arrays_and_keys())
@example((np.arange(6.0).reshape(2, 3), (None, [0, 1], Ellipsis, [0, 1])))  # parted by an empty ellipsis
def test_is_numpys_recorded_and_in_the_gradient(pair):
    x, key = pair
    expected = numpys(x, key)
    if expected is None:
        with pytest.raises((IndexError, ValueError)):
            trace(lambda x: x[key], x)
        return
    assert_same(reference(lambda x: x[key], x), expected)
    assert_same(jvp(lambda x: x[key], (x,), (x * 2,))[1], expected * 2)
    w = weights(expected.shape)
    counted = np.zeros_like(x)
    np.add.at(counted, key, w)
    assert_same(grad(lambda x: np.sum(x[key] * w))(x), counted, limit=8, absolute=1e-12)


@settings(max_examples=100, deadline=None)
@given(arrays_and_keys())
@example((np.arange(6.0).reshape(2, 3), (None, [0, 1], Ellipsis, [0, 1])))  # parted by an empty ellipsis
def test_updates_are_numpys_recorded_and_in_the_gradient(pair):
    x, key = pair
    there = numpys(x, key)
    if there is None:
        return
    v = 100 + weights(there.shape)
    expected = x.copy()
    expected[key] = v
    assert_same(cr.at(x, key).set(v), expected)
    assert_same(reference(lambda x, v: cr.at(x, key).set(v), x, v), expected)
    added = x.copy()
    np.add.at(added, key, v)
    assert_same(reference(lambda x, v: cr.at(x)[key].add(v), x, v), added, limit=8)
    dx, dv = grad(lambda x, v: np.sum(cr.at(x, key).set(v) * weights(x.shape)), argnums=(0, 1))(x, v)
    here = np.full(x.shape, -1)
    here[key] = np.arange(v.size).reshape(v.shape)
    assert_same(dx, np.where(here < 0, weights(x.shape), 0.0))
    back = np.zeros(v.size)
    back[here[here >= 0]] = weights(x.shape)[here >= 0]
    assert_same(dv, back.reshape(v.shape))


def test_compiled_is_numpys():
    """Many random keys in one program: one compilation instead of hundreds."""
    cases = []

    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @given(arrays_and_keys())
    def gather(pair):
        if numpys(*pair) is not None:
            cases.append(pair)
    gather()
    arrays, keys = [x for x, _ in cases], [k for _, k in cases]

    def everything(arrays):
        out = []
        for x, key in zip(arrays, keys, strict=True):
            w = weights(numpys(np.zeros(x.shape), key).shape)
            out.append((x[key], grad(lambda x, key=key, w=w: np.sum(x[key] * w))(x), cr.at(x, key).set(-w),
                        cr.at(x, key).add(w)))
        return out
    for x, key, (picked, gradient, put, added) in zip(arrays, keys, runtime.jit(everything)(arrays), strict=True):
        w = weights(x[key].shape)
        expected = [np.zeros_like(x), x.copy(), x.copy()]
        np.add.at(expected[0], key, w)
        expected[1][key] = -w
        np.add.at(expected[2], key, w)
        assert_same(picked, x[key], what=str(key))
        assert_same(gradient, expected[0], limit=8, absolute=1e-12, what=str(key))
        assert_same(put, expected[1], what=str(key))
        assert_same(added, expected[2], limit=8, what=str(key))


def test_traced_positions_are_numpys():
    x = np.arange(60.0).reshape(3, 4, 5)
    i, j = np.array([[0, -1], [2, 1]]), np.array([3, -4], dtype=np.int32)
    f = lambda x, i, j: (x[i], x[:, j], x[i, j], x[i, :, j], x[..., i], x[1:, j, None, ::-2], x[i[0, 0]], x[0, j, i])
    for out, wanted in zip(runtime.jit(f)(x, i, j), f(x, i, j), strict=True):
        assert_same(out, wanted)


def test_an_index_of_bools():
    x = np.arange(12.0).reshape(3, 4)
    assert_same(reference(lambda x: x[x[:, 0].shape == (3,)], x), x[True])
    assert_same(reference(lambda x: x[False], x), x[False])
    assert_same(reference(lambda x: x[np.True_, 1], x), x[np.True_, 1])


def test_a_traced_mask_has_no_shape():
    for key in (lambda x: x > 0, lambda x: (slice(None), x[0] > 0), lambda x: (x > 0, None)):
        with pytest.raises(ChainruleTypeError, match=r"depends on values.*test_indexing.py"):
            trace(lambda x, key=key: x[key(x)], np.ones((2, 3)))
