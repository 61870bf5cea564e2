"""The target machine, optimisation, and turning a module into callable machine code."""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
from llvmlite.binding import ffi

from chainrule import cache as disk
from chainrule.lazy import lazy
from chainrule.llvm import ir

objects = lazy("chainrule.llvm.objects")  # not needed where its code is on the disk
ENTRY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)  # of a program


@dataclass(frozen=True)
class Target:
    """What the code generator may assume of the processor."""

    triple: str
    cpu: str
    features: str
    vector_bytes: int  # width of a vector register
    vector_registers: int
    l1_bytes: int
    l2_bytes: int
    native_half: bool  # has instructions that convert float16
    native_bfloat16: bool = False  # has instructions that multiply and add pairs of bfloat16


def _data_cache(level: int, otherwise: int) -> int:
    """Bytes of the data cache of one core (Linux tells them in sysfs)."""
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            if int((folder / "level").read_text()) == level and "Instruction" not in (folder / "type").read_text():
                size = (folder / "size").read_text().strip()
                return int(size.rstrip("KM")) * {"K": 1024, "M": 1024**2}.get(size[-1], 1)
        except (OSError, ValueError):
            continue
    return otherwise


@cache
def host() -> Target:
    """The processor this program runs on."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features()
    wide = bool(
        features.get("avx512f") and features.get("avx512vl") and features.get("avx512dq") and features.get("avx512bw")
    )
    vector = 64 if wide else 32 if features.get("avx2") and features.get("fma") else 16
    flattened = features.flatten()
    if wide:  # LLVM would otherwise keep to 256-bit registers on some processors
        flattened += ",-prefer-256-bit"
    arm = llvm.get_default_triple().startswith(("aarch64", "arm64"))
    return Target(llvm.get_default_triple(), llvm.get_host_cpu_name(), flattened, vector, 32 if wide or arm else 16,
                  _data_cache(1, 32 * 1024), _data_cache(2, 512 * 1024), arm or bool(features.get("f16c")),
                  wide and bool(features.get("avx512bf16")))


def _machine(target: Target) -> llvm.TargetMachine:
    return llvm.Target.from_triple(target.triple).create_target_machine(
        cpu=target.cpu, features=target.features, opt=2, jit=True)


@cache
def _data_layout(target: Target) -> str:
    return str(_machine(target).target_data)


_machines: dict[Target, list[llvm.TargetMachine]] = {}  # not in use at present; each works for one thread at a time


def _with_machine(target: Target, work: Callable[[llvm.TargetMachine], Any]) -> Any:
    free = _machines.setdefault(target, [])
    try:
        machine = free.pop()
    except IndexError:
        machine = _machine(target)
    try:
        return work(machine)
    finally:
        free.append(machine)


def _unlocked(name: str) -> Callable[..., Any]:
    """A function of LLVM's without the lock that llvmlite holds during every call.

    LLVM needs none where each thread has a context and a target machine of its own; with it, threads would wait for
    each other all the time that they compile.
    """
    function = getattr(ffi.lib, name)
    return getattr(function, "_cfn", function)


_parse, _run_passes, _emit = map(_unlocked, (
    "LLVMPY_ParseAssembly", "LLVMPY_RunNewFunctionPassManager", "LLVMPY_TargetMachineEmitToMemory"))


def optimize(module: ir.Module, target: Target) -> llvm.ModuleRef:
    """Parse and verify a module, and clean it up.

    The emitted code has its loops vectorised, unrolled and its invariants hoisted already. The standard pipelines
    took ten times as long and made it no faster (``docs/design.md`` has the figures).
    """
    return _with_machine(target, lambda machine: _optimized(module, target, machine))


def _optimized(module: ir.Module, target: Target, machine: llvm.TargetMachine) -> llvm.ModuleRef:
    module.triple, module.data_layout = target.triple, _data_layout(target)
    context = llvm.create_context()
    with ffi.OutputString() as error:
        parsed = llvm.ModuleRef(_parse(context, ctypes.c_char_p(str(module).encode()), error), context)
        if error:
            parsed.close()
            raise RuntimeError(f"LLVM cannot parse what was emitted: {error}")
    parsed.verify()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(1))
    few, more = llvm.create_new_function_pass_manager(), llvm.create_new_function_pass_manager()
    more.add_instruction_combine_pass()
    for passes in (few, more):
        passes.add_simplify_cfg_pass()
    for function in parsed.functions:
        if not function.is_declaration:
            _run_passes(more if module.globals[function.name].combines else few, function, builder)
    return parsed


def emit_object(parsed: llvm.ModuleRef, target: Target) -> bytes:
    """Machine code of an optimised module."""
    return _with_machine(target, lambda machine: _object(parsed, machine))


def _object(parsed: llvm.ModuleRef, machine: llvm.TargetMachine) -> bytes:
    with ffi.OutputString() as error:
        memory = _emit(machine, parsed, 1, error)
        if not memory:
            raise RuntimeError(f"LLVM has no machine code for a module: {error}")
    try:
        return ctypes.string_at(ffi.lib.LLVMPY_GetBufferStart(memory), ffi.lib.LLVMPY_GetBufferSize(memory))
    finally:
        ffi.lib.LLVMPY_DisposeMemoryBuffer(memory)


def compile_module(module: ir.Module, target: Target) -> bytes:
    """Machine code of a module. Threads may do so at the same time."""
    return _with_machine(target, lambda machine: _object(_optimized(module, target, machine), machine))


def kept_code(name: str, target: Target, emitted: Callable[[], ir.Module]) -> tuple[bytes, ...]:
    """Machine code that every program shares, from the disk if it is there."""
    key = disk.key(name, target)
    entry = disk.load(key)
    if entry is None:
        entry = disk.Entry((compile_module(emitted(), target),), 0, ())
        disk.save(key, entry)
    return entry.code


@cache
def _linker(target: Target) -> llvm.LLJIT:
    return llvm.create_lljit_compiler(_machine(target))


_numbers = itertools.count()


class Loaded:
    """Machine code of modules that call each other, in memory; keeps it alive as long as the object lives."""

    def __init__(self, code: Sequence[bytes], target: Target, names: Sequence[str] = ("run",)) -> None:
        library = llvm.JITLibraryBuilder().add_current_process()
        for one in code:
            library.add_object_img(one)
        for name in names:
            library.export_symbol(name)
        self._library = library.link(_linker(target), f"program{next(_numbers)}")

    def address(self, name: str) -> int:
        return self._library[name]


@cache
def call_on_objects() -> tuple[Loaded, Callable[..., None]]:
    """The function of ``llvm/objects.py``, and what keeps it alive."""
    loaded = Loaded(kept_code("call", host(), lambda: objects.emit_call()), host(), ("call",))
    return loaded, ENTRY(loaded.address("call"))


def assembly(parsed: llvm.ModuleRef, target: Target) -> str:
    """The machine code of an optimised module as text."""
    return _with_machine(target, lambda machine: machine.emit_assembly(parsed))
