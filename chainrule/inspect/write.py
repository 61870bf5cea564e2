"""Explanations as plain text, Markdown, LaTeX and HTML."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from chainrule.errors import MissingExtra
from chainrule.inspect.notation import escaped, figure, latex, plain
from chainrule.lazy import lazy

_WIDEST = 6  # rows and columns of a matrix that is written out
_LONGEST = 110  # characters of a line of plain text


def as_text(sections: Sequence[Any]) -> str:
    """Plain text, equations aligned by their first equals sign."""
    lines = []
    for section in sections:
        lines += [section.title, "-" * len(section.title), *filter(None, [section.text])]
        wide = max((len(plain(r.left)) for r in section.rows), default=0)
        for row in section.rows:
            parts = [*(plain(s) for s in row.steps), *([] if row.value is None else [figure(row.value)])]
            remark = f"   ({row.remark})" if row.remark else ""
            line = f"  {plain(row.left):<{wide}} = " + " = ".join(parts)
            if len(line) > _LONGEST:  # a line for each equals sign
                line = f"  {plain(row.left):<{wide}} = " + f"\n  {'':<{wide}} = ".join(parts)
            lines.append(line + remark)
        lines.append("")
    return "\n".join(lines)


def _matrix(value: Any) -> str:
    """A number or a small array in LaTeX; of a large one its dtype and shape."""
    array = np.asarray(value)
    if array.ndim == 0:
        text = figure(array)
        mantissa, _, exponent = text.partition("e")
        return rf"{mantissa} \cdot 10^{{{int(exponent)}}}" if exponent else text.replace("inf", r"\infty")
    if array.ndim <= 2 and max(array.shape) <= _WIDEST and array.size:
        rows = r" \\ ".join(" & ".join(_matrix(x) for x in row) for row in np.atleast_2d(array))
        return rf"\begin{{pmatrix}} {rows} \end{{pmatrix}}"
    return rf"\text{{{array.dtype.name}{list(array.shape)}}}"


def _equation(row: Any) -> tuple[str, str]:
    """The left side, and all that follows the first equals sign."""
    parts = [*(latex(s) for s in row.steps), *([] if row.value is None else [_matrix(row.value)])]
    remark = rf"\quad\text{{({escaped(row.remark)})}}" if row.remark else ""
    return latex(row.left), " = ".join(parts) + remark


def as_latex(sections: Sequence[Any]) -> str:
    """Sections with an ``align*`` each."""
    out = []
    for section in sections:
        out.append(rf"\subsection*{{{_upright(section.title)}}}")
        if section.text:
            out.append(_upright(section.text))
        if section.rows:
            rows = (rf"  {left} &= {right}" for left, right in map(_equation, section.rows))
            out.append("\\begin{align*}\n" + " \\\\\n".join(rows) + "\n\\end{align*}")
    return "\n".join(out) + "\n"


def _upright(text: str) -> str:
    """Running text in LaTeX: signs that only formulas have between dollars."""
    signs = {"∂": r"$\partial$", "Σ": r"$\Sigma$", "δ": r"$\delta$", "²": "$^2$", "³": "$^3$", "¹": "$^1$", "⁴": "$^4$"}
    return "".join(signs.get(c, c) for c in escaped(text))


def as_markdown(sections: Sequence[Any]) -> str:
    """A heading for each section, a formula for each row."""
    out = []
    for section in sections:
        out.append(f"### {section.title}\n")
        if section.text:
            out.append(section.text + "\n")
        out += [f"$$ {left} = {right} $$\n" for left, right in map(_equation, section.rows)]
    return "\n".join(out)


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 70rem; margin: 2rem auto; padding: 0 1rem }}
table {{ border-collapse: collapse }} td {{ padding: .3rem .6rem; vertical-align: middle }}
.rows {{ overflow-x: auto }} math {{ font-size: 1.05rem; math-style: normal }}
</style></head><body><main><h1>{title}</h1>
{body}
</main></body></html>
"""


def as_html(sections: Sequence[Any]) -> str:
    """A page of its own, formulas as MathML."""
    convert = _converter()
    body = []
    for section in sections:
        body.append(f"<h2>{html.escape(section.title)}</h2>")
        if section.text:
            body.append(f"<p>{html.escape(section.text)}</p>")
        rows = []
        for row in section.rows:
            left, right = _equation(row)
            rows.append(f"<tr><td>{convert(left)}</td><td>{convert('= ' + right)}</td></tr>")
        if rows:
            body.append('<div class="rows"><table role="presentation">' + "\n".join(rows) + "</table></div>")
    return _PAGE.format(title="The chain rule, written out", body="\n".join(body))


def _converter() -> Callable[[str], str]:
    try:
        module = lazy("latex2mathml.converter")
        return module.convert
    except ModuleNotFoundError:
        raise MissingExtra.of("formulas in HTML need the package latex2mathml, which is not installed",
                              "the extra 'pictures'", "pip install 'chainrule[pictures]'") from None


__all__ = ["as_html", "as_latex", "as_markdown", "as_text"]
