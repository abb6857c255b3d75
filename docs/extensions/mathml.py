"""Formulas as MathML, which browsers draw themselves: no script and no network."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

logger = logging.getLogger(__name__)

BAR = '<mo stretchy="false">&#x0007C;</mo>'


def _mathml(node: nodes.Node, display: str) -> str:
    text = node.astext()
    # a bar belongs to what it encloses: no space around it
    formula = convert(text, display=display).replace(BAR, BAR.replace("<mo ", '<mo lspace="0" rspace="0" '))
    if "\\" in formula or "<mi>&</mi>" in formula:  # what the converter does not know it leaves as it is
        logger.warning("a formula has a command that is not known: %s", text, location=node)
    return formula


def _inline(writer: Any, node: nodes.math) -> None:
    writer.body.append(_mathml(node, "inline"))
    raise nodes.SkipNode


def _block(writer: Any, node: nodes.math_block) -> None:
    writer.body.append(f'<div class="math">{_mathml(node, "block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer and choose it."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.config.html_math_renderer = "mathml"  # type: ignore[attr-defined]
    return {"parallel_read_safe": True, "parallel_write_safe": True}
