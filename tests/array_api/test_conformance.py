"""The array API standard: names, signatures and results of every function, plainly and jitted."""

import inspect

import array_api_strict
import numpy as np
import pytest
from cases import BINARY, MAKERS, UNARY, Source, taken
from compare import difference
from deviations import DEVIATIONS, excused
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from namespaces import EAGER, Call, jitted

import chainrule.numpy as ours

# Names of the referee that are not of the standard.
NOT_STANDARD = {"Device", "set_array_api_strict_flags", "get_array_api_strict_flags", "reset_array_api_strict_flags",
                "ArrayAPIStrictFlags", "__version__"}
_HERE, _SIGNS = "tested in test_arrays.py", "vectors have a free sign: tested below"
UNTESTED = {  # functions without calls in cases.py, and why
    "from_dlpack": _HERE, "__array_namespace_info__": _HERE, "finfo": _HERE, "iinfo": _HERE,
    "linalg.eigh": _SIGNS, "linalg.svd": _SIGNS, "linalg.qr": _SIGNS}


def standard_names():
    modules = {"": array_api_strict, "linalg.": array_api_strict.linalg, "fft.": array_api_strict.fft}
    for prefix, module in modules.items():
        yield from (prefix + name for name in module.__all__ if prefix or name not in NOT_STANDARD)


def found(namespace, name):
    for part in name.split("."):
        namespace = getattr(namespace, part)
    return namespace


FUNCTIONS = [name for name in standard_names() if inspect.isfunction(found(array_api_strict, name))]


@pytest.mark.parametrize("name", list(standard_names()))
def test_has_the_name(name):
    module, _, own = name.rpartition(".")
    namespace = getattr(ours, module) if module else ours
    assert hasattr(namespace, own) and own in namespace.__all__


@pytest.mark.parametrize("name", FUNCTIONS)
def test_accepts_the_signature(name):
    function = found(ours, name)
    if isinstance(function, np.ufunc):
        positional = [p for p in inspect.signature(found(array_api_strict, name)).parameters.values()
                      if p.kind == p.POSITIONAL_ONLY]
        assert function.nin == len(positional)
        return
    own = inspect.signature(function).parameters
    wanted = list(inspect.signature(found(array_api_strict, name)).parameters.values())
    for position, parameter in enumerate(p for p in wanted if p.kind != p.KEYWORD_ONLY):
        mine = list(own.values())[position]
        if parameter.kind == parameter.POSITIONAL_OR_KEYWORD:
            assert (mine.name, mine.kind) == (parameter.name, parameter.kind)
        elif parameter.kind == parameter.VAR_POSITIONAL:
            assert mine.kind == parameter.kind
        else:
            assert mine.kind in (mine.POSITIONAL_ONLY, mine.POSITIONAL_OR_KEYWORD)
    for parameter in wanted:
        if parameter.kind == parameter.KEYWORD_ONLY:
            assert own[parameter.name].kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)


def test_every_function_is_called():
    assert set(MAKERS) | set(UNTESTED) == set(FUNCTIONS)
    assert set(EAGER) <= set(FUNCTIONS)


# Something seeds Python's random numbers while the first arrays are drawn, which Hypothesis sees; it is not used here.
@pytest.mark.filterwarnings("ignore:Do not use the .random. module")
@pytest.mark.parametrize("name", list(MAKERS))
def test_agrees_with_the_referee(name):
    @settings(max_examples=3, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data):
        calls = list(MAKERS[name](Source(data)))
        expected = [call.referee() for call in calls]
        results = [("plain", [call.plain() for call in calls])]
        if name not in EAGER:
            results.append(("jitted", jitted(calls)))
        for how, values in results:
            for call, result, wanted in zip(calls, values, expected, strict=True):
                if not excused(call):
                    assert not difference(call, result, wanted), f"{how}: {call}: {difference(call, result, wanted)}"
    check()


@pytest.mark.parametrize("deviation", DEVIATIONS, ids=lambda d: d.name)
def test_deviations_are_exact(deviation):
    call = deviation.show
    assert deviation.reason and call.name == deviation.name and deviation.excused(call)
    assert difference(call, call.plain(), call.referee()), "no deviation any more: take it off the table"


# ---------------------------------------------------------------- special values

VALUES = (0.0, -0.0, 1.0, -1.0, 0.5, 1.5, -1.5, 2.0, 2.5, 3.0, -3.0, 7.0, np.pi, 100.0, -100.0, 1e4, 1e-30, np.inf,
          -np.inf, np.nan)
WHOLE = (0, 1, 2, 3, 7)


def special_calls(name):
    arity = 1 if name in UNARY else 2
    for dtype in taken(name, arity):
        kind = np.dtype(dtype).kind
        if kind in "iu":
            info = np.iinfo(dtype)
            values = [*WHOLE, info.max, info.max - 1, *((info.min, -1, -7) if kind == "i" else ())]
        elif kind == "c":
            values = [complex(a, b) for a in VALUES[::3] for b in VALUES[::3]]
        else:
            values = [False, True] if kind == "b" else VALUES
        vector = np.array(values, dtype)
        if arity == 1:
            yield Call(name, vector)
            continue
        x, y = (g.reshape(-1) for g in np.meshgrid(vector, vector))
        if kind in "iu":
            keep = ((y >= 0) & (y < 8) if name in ("pow", "bitwise_left_shift", "bitwise_right_shift")
                    else (y != 0) | (name not in ("floor_divide", "remainder")))
            x, y = x[keep], y[keep]
        yield Call(name, x, y)


@pytest.mark.parametrize("name", UNARY + BINARY)
def test_special_values_are_the_same_jitted(name):
    calls = list(special_calls(name))
    for call, result in zip(calls, jitted(calls), strict=True):
        assert not difference(call, result, call.plain()), call


SPECIAL_CASES = [  # where NumPy and the standard differ
    ("floor_divide", (np.inf, 2.0), np.inf), ("floor_divide", (np.inf, -2.0), -np.inf),
    ("floor_divide", (-np.inf, 2.0), -np.inf), ("floor_divide", (-np.inf, -2.0), np.inf),
    ("floor_divide", (1.0, -np.inf), -0.0), ("floor_divide", (-1.0, np.inf), -0.0),
    ("floor_divide", (np.nan, np.inf), np.nan), ("floor_divide", (np.inf, np.inf), np.nan),
    ("sign", (-0.0,), 0.0), ("sign", (complex(-0.0, -0.0),), 0j),
    ("expm1", (complex(-0.0, 0),), 0j), ("expm1", (complex(np.inf, 0),), complex(np.inf, 0)),
    ("expm1", (complex(-np.inf, np.inf),), complex(-1, 0)),
    ("expm1", (complex(np.inf, np.inf),), complex(np.inf, np.nan)),
    ("expm1", (complex(-np.inf, np.nan),), complex(-1, 0)),
    ("expm1", (complex(np.inf, np.nan),), complex(np.inf, np.nan)),
    ("expm1", (complex(np.nan, 0),), complex(np.nan, 0)),
    ("tanh", (complex(np.inf, 2),), complex(1, 0))]


@pytest.mark.parametrize(("name", "args", "expected"), SPECIAL_CASES)
def test_special_cases_of_the_standard(name, args, expected):
    call = Call(name, *(np.asarray([a]) for a in args))
    wanted = np.asarray([expected])
    for result in (call.plain(), jitted([call])[0]):
        assert not difference(call, result, wanted)


# ---------------------------------------------------------------- decompositions


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_decompositions_compose_to_the_matrix(dtype):
    rng = np.random.default_rng(0)
    imaginary = 1j * rng.normal(size=(2, 3, 3)) if dtype.startswith("complex") else 0
    a = (rng.normal(size=(2, 3, 3)) + imaginary + 2 * np.eye(3)).astype(dtype)
    hermitian = a + np.conj(np.swapaxes(a, -1, -2))
    near = dict(atol=1e-4) if dtype in ("float32", "complex64") else dict(atol=1e-12)
    for run in (lambda call: call.plain(), lambda call: jitted([call])[0]):
        values, vectors = run(Call("linalg.eigh", hermitian))
        composed = (vectors * values[:, None, :]) @ np.conj(np.swapaxes(vectors, -1, -2))
        np.testing.assert_allclose(composed, hermitian, **near)
        assert run(Call("linalg.eigh", hermitian))._fields == ("eigenvalues", "eigenvectors")
        u, s, vh = run(Call("linalg.svd", a, full_matrices=False))
        np.testing.assert_allclose((u * s[:, None, :]) @ vh, a, **near)
        q, r = run(Call("linalg.qr", a))
        np.testing.assert_allclose(q @ r, a, **near)
        assert {x.dtype for x in (vectors, u, vh, q, r)} == {np.dtype(dtype)}
