"""The page: one HTML file with all that it needs, which asks nothing of the network."""

from __future__ import annotations

import html
import json
from string import Template
from typing import Any

from chainrule.inspect.drawing import asset, words


def page(data: dict[str, Any], lang: str = "") -> str:
    """The page of a picture's data.

    Args:
        data: what :func:`~chainrule.inspect.picture.picture` gives.
        lang: ``"en"`` or ``"es"``; by default what the reader's browser prefers.
    """
    return Template(asset("page.html")).substitute(
        lang=lang, title=html.escape(data["title"]), css=asset("page.css"), dagre=asset("dagre.min.js"),
        licence=asset("dagre.LICENSE.txt").strip(), picture=asset("picture.js"), page=asset("page.js"),
        data=_embedded(data), words=_embedded(words()))


def frame(data: dict[str, Any], height: int = 480) -> str:
    """The page inside another one, as notebooks show it."""
    return (f'<iframe srcdoc="{html.escape(page(data))}" style="width:100%;height:{height}px;border:1px solid #8888" '
            f'title="{html.escape(data["title"])}"></iframe>')


def _embedded(value: Any) -> str:
    """JSON that cannot end the element that it stands in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")


__all__ = ["frame", "page"]
