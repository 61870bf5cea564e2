"""Code for processors other than this one: without AVX-512, without AVX2, and AArch64.

What this processor has, with features switched off, runs here; AArch64 code runs in an emulator.
"""

from __future__ import annotations

from dataclasses import replace

import emulator
import llvmlite.binding as llvm
import numpy as np
import pytest
from samples import HALF
from support import assert_same, reference

import chainrule as cr
from chainrule import nn, random, tree
from chainrule.cache import Entry
from chainrule.compiler.pipeline import build
from chainrule.llvm.emit import emit_program
from chainrule.llvm.jit import Target, assembly, emit_object, host, optimize
from chainrule.runtime import Executable
from chainrule.trace import record

SSE = Target(host().triple, "x86-64", "", 16, 16, 32 << 10, 256 << 10, False)
AVX2 = Target(host().triple, "haswell", "", 32, 16, 32 << 10, 256 << 10, True)
AVX512 = Target(host().triple, "skylake-avx512", "-prefer-256-bit", 64, 32, 32 << 10, 1 << 20, True)
BF16 = replace(AVX512, cpu="cooperlake", native_bfloat16=True)
ARM = Target("aarch64-unknown-linux-gnu", "generic", "+neon", 16, 32, 64 << 10, 512 << 10, True)
WIDE = "avx512f", "avx512vl", "avx512bw", "avx512dq"
X86 = pytest.mark.skipif(not host().triple.startswith("x86_64"), reason="x86-64 code does not run here")


def has(*features):
    found = llvm.get_host_cpu_features()
    return all(found.get(f) for f in features)


def loss(weights, x, y):
    kernel, dense, bias = weights
    hidden = nn.max_pool(np.tanh(nn.conv(x, kernel, padding="same")), 2).reshape(len(x), -1)
    logits = nn.gelu(hidden @ dense + bias)
    return -np.mean(np.take_along_axis(nn.log_softmax(logits), y[:, None], 1)) + 0.1 * np.sum(np.exp(-bias * bias))


def step(weights, x, y):
    value, grads = cr.value_and_grad(loss)(weights, x, y)
    return value, [w - 0.1 * g for w, g in zip(weights, grads, strict=True)], np.sort(x.ravel())[:5], np.cumsum(y)


def arguments(dtype):
    rng = np.random.default_rng(2)
    x = rng.normal(size=(3, 6, 5, 2)).astype(dtype)
    weights = [rng.normal(size=s).astype(dtype) for s in ((3, 3, 2, 7), (42, 17), (17,))]
    return weights, x, rng.integers(0, 17, 3)


def products(a, b, image):
    """Half numbers read where they lie, packed, transposed, and in windows."""
    return a @ b, a.T @ a, b @ b[0], (b.T @ a.T)[:3], nn.conv(image, b[:12].reshape(2, 2, 3, -1), padding="same")


def halves(dtype):
    rng = np.random.default_rng(4)
    return tuple(rng.integers(-4, 5, shape).astype(dtype) for shape in ((13, 30), (30, 21), (2, 4, 5, 3)))


CASES = {
    "float32": (step, arguments(np.float32)), "float64": (step, arguments(np.float64)),
    "float16": (lambda x: (x * x + x, np.cumsum(x)), (np.arange(19, dtype=np.float16),)),
    **{f"products of {dtype}": (products, halves(dtype)) for dtype in HALF},
    "random": (lambda: (random.normal(random.key(1), (33,)), random.randint(random.key(2), (9,), 0, 100)), ()),
    "scan": (lambda x: cr.scan(lambda c, row: (np.sin(c + row), c), np.zeros(17), x),
             (np.where(np.arange(17) == 5, 1e30, np.ones((5, 17)) / 3),)),  # 1e30: the C library's sine
}


def compiled(case, target):
    """The program of a case, its module for a target, its arguments and what the reference makes of them."""
    function, args = CASES[case]
    graph, _ = record(function, args)
    program = build(graph)
    module, arena = emit_program(program, target)[:2]
    leaves = [np.ascontiguousarray(a) for a in tree.flatten(args)[0]]
    expected = [np.asarray(e) for e in tree.flatten(reference(function, *args))[0]]
    constants = tuple(np.ascontiguousarray(v).reshape(-1) for _, v in program.constants)
    return optimize(module, target), arena, constants, leaves, expected


def assert_near(results, expected):
    for out, e in zip(results, expected, strict=True):
        assert_same(out, e, limit=8, scale=64)


@X86
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("target", "features"), [(SSE, ()), (AVX2, ("avx2", "fma", "f16c")),
                                                  (AVX512, WIDE), (BF16, (*WIDE, "avx512bf16"))],
                         ids=["sse2", "avx2", "avx512", "bf16"])
def test_x86_with_features_switched_off(target, features, case):
    parsed, arena, constants, leaves, expected = compiled(case, target)
    code = emit_object(parsed, target)
    text = assembly(parsed, target)
    assert ("%zmm" in text) <= (target in (AVX512, BF16)) and ("%ymm" in text) <= (target is not SSE)
    if case == "float32":
        assert {SSE: "mulps\t%xmm", AVX2: "%ymm"}.get(target, "%zmm").split("\t")[-1] in text
    if case == "products of bfloat16":
        assert ("vdpbf16ps" in text) == (target is BF16)  # two products a lane and instruction
    if has(*features):  # the code of a processor that this one is not is only looked at
        results = [np.empty(e.shape, e.dtype) for e in expected]
        Executable(Entry((code,), arena, constants)).run(leaves, results)
        assert_near(results, expected)


@pytest.mark.parametrize("case", CASES)
def test_aarch64_in_an_emulator(case):
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    parsed, arena, constants, leaves, expected = compiled(case, ARM)
    if case == "float32":
        text = assembly(parsed, ARM)
        assert "fmla\tv" in text and "4s" in text  # vectors of four floats, multiplied and added at once
        assert "\tbl\tmem" not in text and "\tbl\texp" not in text  # nothing of a C library
    results = [np.empty(e.shape, e.dtype) for e in expected]
    emulator.run(emit_object(parsed, ARM), leaves, results, constants, arena)
    assert_near(results, expected)
