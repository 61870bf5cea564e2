"""Operations: every primitive is declared once, in the file of its family."""

from chainrule.ops import contract, elementwise, index, linalg, reduce, structure, windows
from chainrule.ops.declare import REGISTRY, Op

__all__ = ["REGISTRY", "Op", "contract", "elementwise", "index", "linalg", "reduce", "structure", "windows"]
