"""Every operation of the registry: compiled against its NumPy reference, derivatives against finite differences.

An operation without samples, or without a derivative rule or a reason for having none, fails.
"""

import numpy as np
import pytest
from samples import (
    DTYPES,
    FLOATS,
    HALF,
    INTS,
    NO_DERIVATIVE,
    NOT_SMOOTH,
    OF_KIND,
    SCALE,
    STRUCTURED,
    ULPS,
    UNSIGNED,
    WITHIN,
    dtypes_of,
    samples,
    slack,
    special,
)
from support import assert_same, reference

import chainrule.numpy
import chainrule.ops.running
import chainrule.ops.scatter
import chainrule.ops.sort
import chainrule.random  # noqa: F401
from chainrule import runtime
from chainrule.autodiff import vjp
from chainrule.check import check_grads
from chainrule.ops.declare import REGISTRY
from chainrule.trace import Tracer

OPS = list(REGISTRY.values())
KINDS = [(op,
          kind) for op in OPS if op.name not in WITHIN for kind in op.kinds if set(OF_KIND[kind]) & set(dtypes_of(op))]
DERIVED = [op for op in OPS if op.jvp is not None and "f" in op.kinds and op.name not in NO_DERIVATIVE]
# where the sign of a zero is left open
UNSIGNED_ZERO = frozenset("maximum minimum max min sum contract relu triangular_solve lu_solve".split())


def label(value):
    return getattr(value, "name", value)


@pytest.mark.parametrize("op", OPS, ids=label)
def test_is_declared_completely(op):
    assert op.doc and op.doc.strip() == op.doc, "a doc"
    assert callable(op.infer) and callable(op.reference)
    assert op.kind != "elementwise" or op.lower is not None, "an elementwise operation needs a lowering"
    has_samples = op.name in WITHIN or op.name in STRUCTURED or op.kind == "elementwise"
    assert has_samples, "add samples to tests/samples.py"
    assert op.jvp is not None or op.name in NO_DERIVATIVE, "a derivative rule, or a reason in NO_DERIVATIVE"


@pytest.mark.parametrize(("op", "kind"), KINDS, ids=label)
def test_compiled_is_reference(op, kind):
    for dtype in OF_KIND[kind]:
        if dtype not in dtypes_of(op):
            continue
        cases = [*samples(op, dtype), *filter(None, [special(op, dtype)])]

        def everything(all_args, cases=cases):
            return [op(*args, **case.params) for args, case in zip(all_args, cases, strict=True)]
        args = [case.args for case in cases]
        compiled = runtime.jit(everything)(args)
        expected = reference(everything, args)
        for case, out, wanted in zip(cases, compiled, expected, strict=True):
            what = f"{op.name} {dtype}{[list(a.shape) for a in case.args]} {case.params or ''}"
            limit = ULPS.get(op.name, 0)
            if dtype in HALF and (limit or slack(op, case, dtype)):
                limit = 1  # an error in float32 may round the other way
            if limit and dtype == "float32":  # NumPy's float32 functions are themselves some ulps off
                with np.errstate(all="ignore"):
                    wide = op.reference(*(a.astype(np.float64) for a in case.args), **case.params)
                    wanted = wide.astype(np.float32)
            assert_same(out, wanted, limit, absolute=slack(op, case, dtype), what=what)
            if not limit and dtype in FLOATS and op.name not in UNSIGNED_ZERO:
                np.testing.assert_array_equal(np.signbit(out) & (out == 0), np.signbit(wanted) & (wanted == 0),
                                              err_msg=what)


@pytest.mark.parametrize("name", WITHIN)
def test_compiled_is_reference_within_functions(name):
    function = WITHIN[name]
    arrays = [np.arange(n).astype(dtype) for dtype in (*FLOATS, *INTS, *UNSIGNED, "bool") for n in (0, 1, 7, 17)
              if not (name == "iota" and dtype == "bool")]

    def everything(arrays):
        return [function(x) for x in arrays]
    compiled, expected = runtime.jit(everything)(arrays), reference(everything, arrays)
    for out, wanted in zip(compiled, expected, strict=True):
        for o, w in zip(out if isinstance(out, tuple) else (out,), wanted if isinstance(wanted, tuple) else (wanted,),
                        strict=True):
            assert_same(o, w, scale=SCALE.get(name, 0), what=name)


def closed(op, sample):
    """The operation as a function of the arguments that it is differentiated by."""
    def function(*chosen):
        args = list(sample.args)
        for i, x in zip(sample.differentiable, chosen, strict=True):
            args[i] = x
        return op(*args, **sample.params)
    return function, tuple(sample.args[i] for i in sample.differentiable)


@pytest.mark.parametrize("op", DERIVED, ids=label)
def test_derivatives_are_finite_differences(op):
    for size, order in ((0, 1), (1, 1), (3, 1 if op.name in NOT_SMOOTH else 2)):
        for sample in samples(op, "float64", (size,)):
            function, args = closed(op, sample)
            if args and np.asarray(function(*args)).dtype == np.float64:
                check_grads(function, args, order=order)


@pytest.mark.parametrize(("op", "dtype"), [(op, d) for op in DERIVED for d in ("float64", *HALF) if d in dtypes_of(op)],
                         ids=label)
def test_compiled_derivatives_are_reference(op, dtype):
    cases = [s for s in samples(op, dtype, (0, 1, 17)) if s.differentiable and op(*s.args, **s.params).dtype == dtype]
    if not cases:
        pytest.skip("its results have no derivative")

    def everything(all_args):
        out = []
        for args, sample in zip(all_args, cases, strict=True):
            function, _ = closed(op, sample)
            result, pull = vjp(function, *args)
            out.append(pull(np.cos(np.arange(result.size, dtype=result.dtype)).reshape(result.shape)))
        return out
    args = [closed(op, sample)[1] for sample in cases]
    compiled, expected = runtime.jit(everything)(args), reference(everything, args)
    for sample, out, wanted in zip(cases, compiled, expected, strict=True):
        for o, w in zip(out, wanted, strict=True):
            near = {"limit": 32, "scale": 64} if dtype == "float64" else {"limit": 4, "scale": 2}
            assert_same(o, w, **near, what=f"the derivative of {op.name} {dtype} {sample.params}")


def test_derivative_rules_are_tested():
    assert {op.name for op in OPS} >= set(NO_DERIVATIVE) | set(DTYPES) | NOT_SMOOTH | set(ULPS)


def test_operations_refuse_dtypes_they_cannot_take():
    for op in OPS:
        floats = {"i", "b"}.isdisjoint(op.kinds)  # then other numbers are converted
        if op.kind == "elementwise" and len(op.kinds) < 4 and not floats and op.name not in STRUCTURED:
            converts_bools = op.extra.get("unify", {}).get("bools") is not None
            wrong = next((d for k in "bf" if k not in op.kinds and not (k == "b" and converts_bools)
                          for d in OF_KIND[k]), None)
            if wrong is None:
                continue
            x = np.ones(3, wrong)
            with pytest.raises(TypeError, match=f"(?i){op.name} got an array of dtype {wrong}"):
                op(*[x] * op.arity)


def test_tracers_stay_tracers():
    seen = []
    reference(lambda x: seen.append(type(REGISTRY["sin"](x))) or x, np.ones(3))
    assert seen == [Tracer]
