"""The command ``ptyxrf``, also as ``python -m ptyxrf``: the driver's subcommands and that of the paper."""

import sys
from collections.abc import Sequence

from ptyxrf.driver.command.main import main as run
from ptyxrf.experiments.command import COMMAND


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `ptyxrf.driver.command.main.main`."""
    return run(argv, extra=[COMMAND])


if __name__ == "__main__":
    sys.exit(main())
