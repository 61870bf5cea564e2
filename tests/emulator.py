"""Runs AArch64 object code on any machine: a linker for one relocatable file, and Unicorn's processor."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from unicorn import UC_ARCH_ARM64, UC_HOOK_CODE, UC_MODE_ARM, Uc
from unicorn.arm64_const import (
    UC_ARM64_REG_CPACR_EL1,
    UC_ARM64_REG_D0,
    UC_ARM64_REG_LR,
    UC_ARM64_REG_SP,
    UC_ARM64_REG_X0,
    UC_ARM64_REG_X1,
)

CODE, DATA, STACK, END = 0x1000000, 0x4000000, 0x8000000, 0x9000000
MEGABYTE = 1 << 20
FUNCTIONS = ("sin", "cos", "tan")  # of the C library, for arguments too large for our own; stubs stand behind END
RETURN = 0xD65F03C0  # the instruction

# https://github.com/ARM-software/abi-aa, "ELF for the Arm 64-bit Architecture": the number of a relocation, and by how
# much the low twelve bits of an address are shifted in the instruction's immediate
_LOW12 = {277: 0, 278: 0, 284: 1, 285: 2, 286: 3, 299: 4}
_PLAIN = {257: ("<Q", False), 258: ("<I", False), 260: ("<Q", True), 261: ("<I", True)}  # relative to the place?
_PAGE21, _JUMP26, _CALL26 = 275, 282, 283
_WORDS = {263: 0, 264: 0, 265: 16, 266: 16, 267: 32, 268: 32, 269: 48}  # of MOVZ and MOVK


def linked(code: bytes) -> tuple[bytes, int]:
    """The file's sections one after another as they lie at ``CODE``, and the address of ``run``."""
    elf = ELFFile(io.BytesIO(code))
    base, image = {}, bytearray()
    for k, section in enumerate(elf.iter_sections()):
        if section["sh_flags"] & 2 and section["sh_size"]:  # what is loaded
            image += bytes(-len(image) % 64)
            base[k] = CODE + len(image)
            image += section.data()
    symbols = elf.get_section_by_name(".symtab")

    def address(symbol: Any) -> int:
        if symbol["st_shndx"] == "SHN_UNDEF":
            return END + 4 * (1 + FUNCTIONS.index(symbol.name))
        return int(base[symbol["st_shndx"]] + symbol["st_value"])
    for section in elf.iter_sections():
        if isinstance(section, RelocationSection) and section["sh_info"] in base:
            for r in section.iter_relocations():
                at = base[section["sh_info"]] + r["r_offset"]
                value = address(symbols.get_symbol(r["r_info_sym"])) + r["r_addend"]
                _relocate(image, at - CODE, at, value, r["r_info_type"])
    return bytes(image), address(symbols.get_symbol_by_name("run")[0])


def _relocate(image: bytearray, offset: int, at: int, value: int, kind: int) -> None:
    if kind in _PLAIN:
        form, relative = _PLAIN[kind]
        struct.pack_into(form, image, offset, (value - at * relative) % (1 << 8 * struct.calcsize(form)))
        return
    (word,) = struct.unpack_from("<I", image, offset)
    if kind in _LOW12:
        word |= (value & 0xFFF) >> _LOW12[kind] << 10
    elif kind in (_JUMP26, _CALL26):
        word |= (value - at) >> 2 & 0x3FFFFFF
    elif kind == _PAGE21:
        pages = (value >> 12) - (at >> 12)
        word |= (pages & 3) << 29 | (pages >> 2 & 0x7FFFF) << 5
    elif kind in _WORDS:
        word |= (value >> _WORDS[kind] & 0xFFFF) << 5
    else:
        raise NotImplementedError(f"relocation {kind}")
    struct.pack_into("<I", image, offset, word)


def _function(machine: Uc, at: int, size: int, data: Any) -> None:
    """What a function of the C library does to its argument, before its stub returns."""
    (x,) = struct.unpack("<d", struct.pack("<Q", machine.reg_read(UC_ARM64_REG_D0)))
    result = getattr(math, FUNCTIONS[(at - END) // 4 - 1])(x)
    machine.reg_write(UC_ARM64_REG_D0, *struct.unpack("<Q", struct.pack("<d", result)))


def run(code: bytes, arrays: Sequence[np.ndarray], results: Sequence[np.ndarray], constants: Sequence[np.ndarray],
        arena: int) -> None:
    """Call ``run(pointers, arena)`` of an object file, which fills ``results``."""
    machine = Uc(UC_ARCH_ARM64, UC_MODE_ARM)
    machine.reg_write(UC_ARM64_REG_CPACR_EL1, 3 << 20)  # floating-point instructions are allowed
    image, start = linked(code)
    machine.mem_map(CODE, -(-len(image) // MEGABYTE) * MEGABYTE)
    machine.mem_write(CODE, image)
    every = [*arrays, *results, *constants]
    places, at = [], DATA + -(-8 * len(every) // 64) * 64
    for a in every:
        places.append(at)
        at += -(-max(a.nbytes, 1) // 64) * 64
    machine.mem_map(DATA, -(-(at + arena - DATA + 64) // MEGABYTE) * MEGABYTE)
    machine.mem_write(DATA, struct.pack(f"<{len(every)}Q", *places))
    for a, place in zip(every, places, strict=True):
        machine.mem_write(place, np.ascontiguousarray(a).tobytes())
    machine.mem_map(STACK, MEGABYTE)
    machine.mem_map(END, 4096)
    machine.mem_write(END, struct.pack("<I", RETURN) * (1 + len(FUNCTIONS)))
    machine.hook_add(UC_HOOK_CODE, _function, begin=END + 4, end=END + 4 * len(FUNCTIONS))
    machine.reg_write(UC_ARM64_REG_SP, STACK + MEGABYTE - 64)
    machine.reg_write(UC_ARM64_REG_LR, END)
    machine.reg_write(UC_ARM64_REG_X0, DATA)
    machine.reg_write(UC_ARM64_REG_X1, at)
    machine.emu_start(start, END)
    for a, place in zip(results, places[len(arrays):], strict=False):
        a[...] = np.frombuffer(bytes(machine.mem_read(place, a.nbytes)), a.dtype).reshape(a.shape)
