"""The directive ``command-help``: what ``ptyxrf SUBCOMMAND --help`` prints."""

from __future__ import annotations

import argparse
import os
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from ptyxrf.driver.command.main import SUBCOMMANDS
from ptyxrf.driver.command.parser import make_parser
from ptyxrf.experiments.command import COMMAND

#: Width of the help in characters.
WIDTH = "88"


def help_of(name: str) -> str:
    """Return the help of a subcommand, or of the command for ``ptyxrf``."""
    os.environ["COLUMNS"] = WIDTH
    parser = make_parser([*SUBCOMMANDS, COMMAND])
    if name == "ptyxrf":
        return parser.format_help()
    [subparsers] = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    return subparsers.choices[name].format_help()


class CommandHelp(SphinxDirective):
    """A block with the help of a subcommand."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the block."""
        text = help_of(self.arguments[0])
        block = nodes.literal_block(text, text, language="none")
        return [block]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
