"""LLVM's assembly language: types, constants, functions and modules, whose text is what LLVM parses.

An instruction is formatted when it is built (``llvm/builder.py``), and its value is its name; nothing else is kept of
it, because emission goes forward only. (llvmlite's layer of this kind makes objects that can be changed until they are
printed; that took half of the time of emission.)

Source: the LLVM Language Reference Manual. Pointers are opaque: loads and address computations name their types.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import cache
from typing import Any


class Type:
    """A type; equal types are one object. ``count`` is the number of lanes."""

    __slots__ = ("count", "text")

    def __init__(self, text: str, count: int = 1) -> None:
        self.text, self.count = text, count

    def __repr__(self) -> str:
        return self.text

    def __call__(self, value: float) -> Constant:
        return Constant(self, value)


class _Integer(Type):
    __slots__ = ()


class _Float(Type):
    __slots__ = ()


class VectorOf(Type):
    """``count`` lanes of an element type."""

    __slots__ = ("element",)

    def __init__(self, element: Type, count: int) -> None:
        super().__init__(f"<{count} x {element.text}>", count)
        self.element = element


class FunctionType(Type):
    """What a function takes and gives."""

    __slots__ = ("args", "result")

    def __init__(self, result: Type, args: Sequence[Type]) -> None:
        super().__init__(f"{result.text} ({', '.join(a.text for a in args)})")
        self.result, self.args = result, list(args)


@cache
def integer_type(bits: int) -> Type:
    """The integers of so many bits."""
    return _Integer(f"i{bits}")


@cache
def vector_type(element: Type, count: int) -> VectorOf:
    """``count`` lanes of an element type."""
    return VectorOf(element, count)


VOID, POINTER = Type("void"), Type("ptr")
HALF, BFLOAT, FLOAT, DOUBLE = _Float("half"), _Float("bfloat"), _Float("float"), _Float("double")


class Value:
    """What an instruction gives, or takes: its type, and how it is called."""

    __slots__ = ("name", "type")

    def __init__(self, kind: Type, name: str) -> None:
        self.type, self.name = kind, name


class Constant(Value):
    """A number; or a vector of numbers, of which one stands for all lanes if they are equal."""

    __slots__ = ("constant",)

    def __init__(self, kind: Type, value: float | Sequence[float]) -> None:
        self.constant: Any = value
        super().__init__(kind, _text(kind, value))


def _text(kind: Type, value: float | Sequence[float]) -> str:
    if isinstance(kind, VectorOf):
        each = [_text(kind.element, v) for v in value]  # type: ignore[union-attr]
        if all(e == each[0] for e in each):
            return f"splat ({kind.element.text} {each[0]})"
        return f"<{', '.join(f'{kind.element.text} {e}' for e in each)}>"
    if isinstance(kind, _Float):
        return f"0x{struct.pack('>d', value).hex()}"  # of a float too: its value as a double
    return str(int(value))  # type: ignore[arg-type]


def undefined(kind: Type) -> Value:
    """A value that does not matter."""
    return Value(kind, "undef")


class Phi(Value):
    """A value that depends on the block control came from."""

    __slots__ = ("incoming",)

    def __init__(self, kind: Type, name: str) -> None:
        super().__init__(kind, name)
        self.incoming: list[str] = []

    def add_incoming(self, value: Value, block: Block) -> None:
        """Coming from ``block`` it is ``value``."""
        self.incoming.append(f"[ {value.name}, {block.name} ]")

    def __str__(self) -> str:
        return f"{self.name} = phi {self.type.text} {', '.join(self.incoming)}"


class Switch:
    """A jump to one of several blocks."""

    def __init__(self, value: Value, default: Block) -> None:
        self.value, self.default = value, default
        self.cases: list[str] = []

    def add_case(self, number: int, block: Block) -> None:
        """Jump to ``block`` where the value is ``number``."""
        self.cases.append(f"{self.value.type.text} {number}, label {block.name}")

    def __str__(self) -> str:
        return f"switch {self.value.type.text} {self.value.name}, label {self.default.name} [ {' '.join(self.cases)} ]"


class Block:
    """Instructions that run one after another."""

    __slots__ = ("function", "lines", "name")

    def __init__(self, function: Function, name: str) -> None:
        self.function, self.name = function, name
        self.lines: list[str | Phi | Switch] = []


class Function(Value):
    """A function; one without blocks is declared only, and defined elsewhere.

    Attributes:
        internal: whether only its own module calls it.
        combines: whether LLVM combines its instructions, which takes a tenth of its time: sorting is faster for it.
        noalias: how many of the arguments, from the first one on, are pointers to memory that no other pointer is.
    """

    __slots__ = ("args", "blocks", "combines", "function_type", "internal", "module", "names", "noalias")

    def __init__(self, module: Module, function_type: FunctionType, name: str) -> None:
        super().__init__(POINTER, f"@{name}")
        self.module, self.function_type = module, function_type
        self.internal = self.combines = False
        self.noalias = 0
        self.args = [Value(kind, f"%a{k}") for k, kind in enumerate(function_type.args)]
        self.blocks: list[Block] = []
        self.names = 0
        module.globals[name] = self

    def rename(self, name: str) -> None:
        """Give a function that nothing calls yet another name."""
        del self.module.globals[self.name[1:]]
        self.name = f"@{name}"
        self.module.globals[name] = self

    def new_name(self) -> str:
        self.names += 1
        return f"%v{self.names}"

    def append_basic_block(self) -> Block:
        """A further block, empty."""
        block = Block(self, self.new_name())
        self.blocks.append(block)
        return block

    @property
    def lines(self) -> int:
        """How many instructions it has by now."""
        return sum(len(block.lines) for block in self.blocks)

    def __str__(self) -> str:
        kind = self.function_type
        if not self.blocks:
            return f"declare {kind.result.text} {self.name}({', '.join(a.text for a in kind.args)})\n"
        arguments = ", ".join(f"{a.type.text}{' noalias' if k < self.noalias else ''} {a.name}"
                              for k, a in enumerate(self.args))
        head = f"define {'internal ' if self.internal else ''}{kind.result.text} {self.name}({arguments}) {{\n"
        body = "\n".join(f"{block.name[1:]}:\n" + "\n".join(map(str, block.lines)) for block in self.blocks)
        return f"{head}{body}\n}}\n"


RARE = 1 << 20  # turns for one of a branch that is seldom taken


class Module:
    """Functions that are compiled together."""

    def __init__(self, name: str = "module") -> None:
        self.name, self.triple, self.data_layout = name, "", ""
        self.globals: dict[str, Function] = {}

    @property
    def lines(self) -> int:
        """How many instructions its functions have by now."""
        return sum(function.lines for function in self.globals.values())

    def declared(self, name: str, result: Type, args: Sequence[Type]) -> Function:
        """The function of that name; declared, if the module does not know it yet."""
        known = self.globals.get(name)
        return Function(self, FunctionType(result, args), name) if known is None else known

    def know(self, function: Function) -> None:
        """Declare a function of another module."""
        self.declared(function.name[1:], function.function_type.result, function.function_type.args)

    def take(self, other: Module) -> None:
        """Make the functions of another module this one's, in the place of what was declared of them."""
        for name, function in other.globals.items():
            if function.blocks or name not in self.globals:
                self.globals[name] = function

    def __str__(self) -> str:
        head = f'source_filename = "{self.name}"\ntarget datalayout = "{self.data_layout}"\n'
        functions = "".join(map(str, self.globals.values()))
        return f'{head}target triple = "{self.triple}"\n{functions}!0 = !{{!"branch_weights", i32 1, i32 {RARE}}}\n'
