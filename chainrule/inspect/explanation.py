"""The chain rule of one derivative, written out: what :func:`explain` returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chainrule.errors import ArgumentError
from chainrule.inspect.notation import Index, Term, figure, plain
from chainrule.inspect.write import as_html, as_latex, as_markdown, as_text


@dataclass(frozen=True)
class Row:
    """One line of an explanation: ``left = steps[0] = steps[1] = … = value``.

    Attributes:
        left: what is computed.
        steps: formulas for it.
        value: the number or array; None where the formulas say all.
        remark: a few words.
    """

    left: Term
    steps: tuple[Term, ...]
    value: Any = None
    remark: str = ""


@dataclass(frozen=True)
class Section:
    """A part of an explanation."""

    title: str
    rows: tuple[Row, ...]
    text: str = ""


@dataclass(frozen=True, repr=False)
class Explanation:
    """A derivative by the chain rule, with every factor and its number.

    ``print`` it, or let a notebook show it; ``save("f.md")``, ``"f.tex"``, ``"f.html"`` or ``"f.txt"`` writes a file.

    Attributes:
        value: the value of the function, C.
        gradient: ∂C/∂w: of one element a float, else an array.
        element: the index of the element that the paths are written out for; () for a number.
        paths: its paths with all factors, the weightiest first: as many as were asked for.
        rest: what all other paths give together; 0.0 if there are none.
        numeric: ∂C/∂w of that element by central differences in float64.
        sections: the parts, as they are printed.
    """

    value: float
    gradient: Any
    element: Index
    paths: tuple[Any, ...]
    rest: float
    numeric: float
    sections: tuple[Section, ...]

    @property
    def error(self) -> float:
        """How far the gradient is from the finite difference, relative to the larger of 1e-6 and either."""
        exact = float(np.asarray(self.gradient)[self.element] if np.ndim(self.gradient) else self.gradient)
        return abs(exact - self.numeric) / max(1e-6, abs(exact), abs(self.numeric))

    def text(self) -> str:
        """Plain text."""
        return as_text(self.sections)

    def markdown(self) -> str:
        """Markdown with formulas in LaTeX between dollar signs."""
        return as_markdown(self.sections)

    def latex(self) -> str:
        """LaTeX, to be put into a document that uses the package amsmath."""
        return as_latex(self.sections)

    def html(self) -> str:
        """A page of its own; its formulas are MathML, which browsers show without a script or the network.

        Raises:
            MissingExtra: without the package latex2mathml.
        """
        return as_html(self.sections)

    def save(self, path: str | Path) -> Path:
        """Write the file in the format that its name ends with."""
        path = Path(path)
        formats = {".txt": self.text, ".md": self.markdown, ".tex": self.latex, ".html": self.html}
        if path.suffix not in formats:
            raise ArgumentError.of(f"the file {path.name}", f"a name ending in {', '.join(formats)}",
                                   "explanation.save('chain_rule.html')")
        path.write_text(formats[path.suffix](), encoding="utf-8")
        return path

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_markdown_(self) -> str:
        return self.markdown()

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        for section in self.sections:
            yield f"[bold]{section.title}[/bold]"
            if section.text:
                yield section.text
            for row in section.rows:
                steps = " [dim]=[/dim] ".join(_escaped(plain(s)) for s in row.steps)
                value = "" if row.value is None else f" [dim]=[/dim] [cyan]{_escaped(figure(row.value))}[/cyan]"
                middle = f" [dim]=[/dim] {steps}" if steps else ""
                remark = f"  [dim]{_escaped(row.remark)}[/dim]" if row.remark else ""
                yield f"  {_escaped(plain(row.left))}{middle}{value}{remark}"
            yield ""


def _escaped(text: str) -> str:
    return text.replace("[", "\\[")
