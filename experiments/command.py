"""``ptyxrf paper``: the experiments of the paper, with a verdict for each of its claims."""

from __future__ import annotations

import argparse
from pathlib import Path

from ptyxrf.driver.command.outputs import check_outputs, make_folder, on_first_rank
from ptyxrf.driver.command.parser import Subcommand
from ptyxrf.experiments.catalogue import NAMES, experiment


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help=f"{', '.join(NAMES)}, or all")
    parser.add_argument(
        "--out", metavar="DIR", default="ptyxrf-paper", help="where to write (default ptyxrf-paper)"
    )
    parser.add_argument("--quick", action="store_true", help="smaller versions")
    parser.add_argument(
        "--images",
        nargs=2,
        metavar=("MAGNITUDE", "PHASE"),
        help="grey images of the experiment on images (the paper: Cameraman and Baboon)",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="compute again what an earlier run has left in DIR"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress")


def _check_image(path: Path) -> None:
    """Find out before a long run whether an image can be read."""
    from ptyxrf.driver.simulation.images import read_image

    try:
        read_image(path)
    except (ImportError, OSError, SyntaxError, ValueError) as error:
        if getattr(error, "filename", None) == str(path):
            raise
        raise ValueError(f"--images: {path}: {error}") from error


def _run(options: argparse.Namespace) -> int:
    names = list(NAMES) if options.name == "all" else [options.name]
    folder, comm = Path(options.out), options.comm
    images = None if options.images is None else (Path(options.images[0]), Path(options.images[1]))

    def prepare() -> None:
        for name in names:
            experiment(name)
        for path in images or ():
            _check_image(path)
        make_folder(folder)
        check_outputs([folder / "paper.md"], [])

    on_first_rank(comm, prepare)

    from ptyxrf.experiments.run import run_experiments
    from ptyxrf.experiments.run_cache import Study

    study = Study(
        folder, quick=options.quick, images=images, comm=comm, fresh=options.fresh, quiet=options.quiet
    )
    run_experiments(names, study, lambda line: print(line, flush=True))
    print(f"page: {folder / 'paper.md'}")
    return 0


COMMAND = Subcommand(
    "paper",
    "NAME|all [--out DIR] [--quick] [--images MAGNITUDE PHASE]",
    "run the experiments of the paper and check its claims",
    "Run an experiment of arXiv 2511.02153, or all of them: write its figures, its "
    "numbers as JSON, a verdict for each claim, and one page with all that are there. What "
    "was computed before is kept: an interrupted run goes on where it was.",
    _arguments,
    _run,
)
