"""The subcommand ``ptyxrf paper``: run experiments of the paper and check its claims."""

from __future__ import annotations

import argparse
from pathlib import Path

from ptyxrf.driver.command.outputs import check_outputs, make_folder, on_first_rank
from ptyxrf.driver.command.parser import Subcommand
from ptyxrf.experiments.catalogue import NAMES, selected


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help=f"{', '.join(NAMES)}, or all")
    parser.add_argument(
        "--out", metavar="DIR", default="ptyxrf-paper", help="where to write (default ptyxrf-paper)"
    )
    parser.add_argument("--quick", action="store_true", help="run reduced versions")
    parser.add_argument(
        "--images",
        nargs=2,
        metavar=("MAGNITUDE", "PHASE"),
        help="grey images for the experiment on images (the paper uses Cameraman and Baboon)",
    )
    parser.add_argument(
        "--probes",
        metavar="KIND[:WIDTH],...",
        help="probes for the comparison of section 3: zone-plate, gaussian or disc, with a radius as a "
        "fraction of half the window (default: five of all widths)",
    )
    parser.add_argument(
        "--dft",
        metavar="CONVENTION,...",
        help="conventions of the DFT in the weight by gradient norms: unitary, or printed, with the 1/m^2 of "
        "the paper in the Hessian alone (default both)",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="recompute results that earlier runs have left in DIR"
    )
    parser.add_argument("--quiet", action="store_true", help="report no progress")


def _check_image(path: Path) -> None:
    """Raise an error before a long run if an image cannot be read."""
    from ptyxrf.driver.simulation.images import read_image

    try:
        read_image(path)
    except (ImportError, OSError, SyntaxError, ValueError) as error:
        if getattr(error, "filename", None) == str(path):
            raise
        raise ValueError(f"--images: {path}: {error}") from error


def _run(options: argparse.Namespace) -> int:
    from ptyxrf.experiments.conditions import conditions_of

    folder, comm = Path(options.out), options.comm
    images = None if options.images is None else (Path(options.images[0]), Path(options.images[1]))

    def prepare() -> list[str]:
        names = selected(options.name)
        conditions_of(options.probes, options.dft)
        for path in images or ():
            _check_image(path)
        make_folder(folder)
        check_outputs([folder / "paper.md"], [])
        return names

    names = on_first_rank(comm, prepare)

    from ptyxrf.experiments.run import run_experiments
    from ptyxrf.experiments.run_cache import RunCache

    cache = RunCache(
        folder,
        quick=options.quick,
        images=images,
        conditions=conditions_of(options.probes, options.dft),
        comm=comm,
        fresh=options.fresh,
        quiet=options.quiet,
    )
    run_experiments(names, cache, lambda line: print(line, flush=True))
    print(f"page: {folder / 'paper.md'}")
    return 0


COMMAND = Subcommand(
    "paper",
    "NAME|all [--out DIR] [--quick] [--images MAGNITUDE PHASE] [--probes KIND[:WIDTH],...]",
    "run the experiments of the paper and check its claims",
    "Run an experiment of arXiv 2511.02153, or all of them. Each writes its figures, its numbers and a "
    "verdict for each claim; paper.md shows all experiments in the folder. Results are stored: an "
    "interrupted run resumes where it stopped.",
    _arguments,
    _run,
)
