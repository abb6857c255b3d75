"""The command ``ptyxrf``: one function for each subcommand, and what becomes of errors."""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from ptyxrf.driver.command.settings import (
    COUNT,
    FILES,
    POSITIVE,
    RECONSTRUCT,
    SIMULATE,
    TABLES,
    Choice,
    File,
    Number,
    Setting,
    Switch,
    check_value,
    checked_settings,
    effective_settings,
    flag_name,
    read_settings,
    settings_text,
)
from ptyxrf.driver.job import watchdog
from ptyxrf.driver.job.abort import say
from ptyxrf.driver.job.ranks import INTERRUPTED, PATIENCE, Failure, alone, communicator, launched, together

# Numba, matplotlib and h5py are imported by the subcommands that use them: help should come at once.
if TYPE_CHECKING:
    from ptyxrf.driver.data.result import Result, TiledResult
    from ptyxrf.driver.data.scan import Scan

#: STOPPED is EX_TEMPFAIL of sysexits.h: the same command with --resume goes on.
DONE, BAD_INPUT, STOPPED = 0, 2, 75

#: How readers of foreign files turn the positions.
TURNS = ("swap", "flip_rows", "flip_columns")


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are ValueErrors, so that they end like all other bad input."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message} (see {self.prog} --help)")


@dataclass(frozen=True)
class Subcommand:
    """One row of the table from which the parser is built."""

    name: str
    usage: str
    help: str
    description: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Words after ``ptyxrf``; default: those of the process.

    Returns
    -------
    int
        Exit status: 0, 2 for bad input (one line on standard error says what), 75 where SIGTERM ended a
        reconstruction that --resume goes on with, 130 after Ctrl-C. The same on every rank.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    _, rank = launched(os.environ)
    try:
        comm = communicator()
    except ValueError as error:
        if rank == 0:
            say(f"ptyxrf: error: {error}")
        else:  # srun -K sends TERM to all when one has ended: let the first one speak, and all end alike
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(PATIENCE)
        return BAD_INPUT

    def run(comm: Any) -> int:
        return _run_subcommand(words, comm)

    return alone(run) if comm is None else together(comm, run)


def _run_subcommand(words: list[str], comm: Any) -> int:
    """Run the subcommand that the words name; raise `Failure` for errors that are the user's to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        warnings.showwarning = _show_warning if _is_first(comm) else _no_warning
        try:
            options = _parser().parse_args(_separate_iteration(words))
            options.comm = comm
            return options.run(options)
        except KeyboardInterrupt:
            raise Failure(INTERRUPTED, "interrupted") from None
        except BrokenPipeError:
            # The reader of the output has gone (as `head` does). Python would complain once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return DONE
        except OSError as error:
            message = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        except (MemoryError, OverflowError, RecursionError) as error:
            message = f"{type(error).__name__}: {error}".rstrip(": ")
        except ValueError as error:
            message = str(error)
    raise Failure(BAD_INPUT, "error: " + " ".join(message.split()))


def _is_first(comm: Any) -> bool:
    return comm is None or comm.Get_rank() == 0


def _on_first_rank(run: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Return a subcommand that the first rank runs while the others wait."""
    return lambda options: _from_first_rank(options.comm, lambda: run(options))


def _no_warning(*_: Any, **__: Any) -> None:
    """Say nothing: the first rank does."""


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print("ptyxrf: warning: " + " ".join(str(message).split()), file=sys.stderr)


def _separate_iteration(words: list[str]) -> list[str]:
    """Give ``--refine-probe`` its value where the next word is none, lest it takes the scan for one."""
    flag = flag_name("refine_probe")
    return [
        f"{word}=true" if word == flag and not following.lstrip("-").isdigit() else word
        for word, following in zip_longest(words, words[1:], fillvalue="")
    ]


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="ptyxrf",
        description="Joint reconstruction of X-ray ptychography and X-ray fluorescence.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"ptyxrf {version('ptyxrf')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    for entry in SUBCOMMANDS:
        sub = commands.add_parser(
            entry.name,
            usage=f"ptyxrf {entry.name} {entry.usage}",
            help=entry.help,
            description=entry.description,
            allow_abbrev=False,
        )
        entry.arguments(sub)
        sub.set_defaults(run=entry.run)
    return parser


def _add_settings(parser: argparse.ArgumentParser, title: str, table: Mapping[str, Setting]) -> None:
    """Give the parser a flag for every setting of a table; a flag that is not given is None."""
    group = parser.add_argument_group(title)
    for key, setting in table.items():
        options: dict[str, Any] = {"dest": key, "default": None, "help": setting.help.replace("%", "%%")}
        if setting.default not in (None, False):
            options["help"] += f" (default {'yes' if setting.default is True else setting.default})"
        if isinstance(setting.kind, Switch):
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["metavar"] = setting.kind.metavar
        group.add_argument(flag_name(key), **options)


def _add_settings_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--settings", metavar="FILE", help="settings in TOML; flags override them")
    parser.add_argument(
        "--show-settings", action="store_true", help="write the settings that would be used as TOML, and end"
    )


def _settings(options: argparse.Namespace, *tables: str) -> list[dict[str, Any]]:
    """Return the effective settings of some tables, from the settings file and the flags."""
    given = read_settings(options.settings) if options.settings is not None else {}
    flags = vars(options)
    return [
        effective_settings(table, given.get(table, {}), {key: flags.get(key) for key in TABLES[table]})
        for table in tables
    ]


# Output ---------------------------------------------------------------------------------------------------


def _check_outputs(paths: Sequence[Path], inputs: Sequence[str | None]) -> None:
    """Refuse outputs that cannot be written, or would replace an input, before anything is computed."""
    from ptyxrf.driver.files.whole_file import check_writable

    for path in paths:
        for source in inputs:
            if source is not None and path.resolve() == Path(source).resolve():
                raise ValueError(f"{path}: is an input, and cannot be the output too")
        check_writable(path)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise ValueError(f"{folder}: expected a folder, got a file") from None


def _report_path(result: Path) -> Path:
    if result.is_dir():
        raise ValueError(f"{result}: cannot be written, it is a folder")
    picture = result.with_suffix(".png")
    if picture == result:
        raise ValueError(f"{result}: expected another ending than .png, which is that of the report")
    return picture


def _outcome(result: Result | TiledResult) -> str:
    from ptyxrf.driver.data.result import loss_text

    last = result.history[-1]
    lines = [
        f"{result.method}: {loss_text(result)} after {last.iteration} iterations, {last.sweeps:.1f} sweeps, "
        f"{last.seconds:.1f} s",
        result.reason.value,
    ]
    if resumed := result.settings["resumed_after"]:
        lines.append(f"resumed after iteration {', '.join(map(str, resumed))}")
    lines += [f"{name}: {value:.4g}" for name, value in last.errors.items()]
    return "\n".join(lines)


# reconstruct ----------------------------------------------------------------------------------------------


def _reconstruct_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scan", metavar="SCAN", help="scan file (HDF5, CXI layout)")
    _add_settings_file(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress, no summary")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on from the checkpoint beside the result; begin at the start where there is none",
    )
    _add_settings(parser, "files", FILES)
    _add_settings(parser, "reconstruction", RECONSTRUCT)


def _reconstruct(options: argparse.Namespace) -> int:
    files, settings = _settings(options, "files", "reconstruct")
    if options.show_settings:
        print(settings_text({"files": files, "reconstruct": settings}), end="")
        return DONE
    if files["out"] is None:
        raise ValueError("--out: expected the path of the result, got none")
    for key in ("elements", "attenuation", "match"):
        if files[key] is not None and files["maps"] is None:
            raise ValueError(
                f"{flag_name(key)}: expected a MAPS file beside it ({flag_name('maps')}), got none"
            )
    from ptyxrf.driver.files.whole_file import remove_remains
    from ptyxrf.driver.job.signals import Stopped, catching
    from ptyxrf.driver.reconstruction.checkpoint import checkpoint_path, older_path, remove_checkpoints

    out, comm = Path(files["out"]), options.comm
    checkpoint = checkpoint_path(out)
    watchdog.start(comm, settings.pop("watchdog_seconds"))

    def read() -> Scan:
        outputs = [out, _report_path(out)] if files["report"] else [out]
        outputs += [checkpoint, older_path(checkpoint)]
        _check_outputs(outputs, [options.scan, files["maps"], options.settings])
        if options.resume:
            for path in outputs:
                remove_remains(path)
        elif checkpoint.exists():
            warnings.warn(
                f"{checkpoint}: is of an earlier run, and will be replaced: --resume would go on from it",
                stacklevel=1,
            )
        # of several ranks each checks what it reads itself
        scan = _read_scan(options.scan, files, check=comm is None)
        return scan if files["maps"] is None else _with_maps(scan, files)

    try:
        with catching():
            scan = _from_first_rank(comm, read)
            restart = {"checkpoint": checkpoint, "resume": options.resume}
            result = _run(scan, settings | restart, quiet=options.quiet, comm=comm)
            _write(result, scan, out, picture=files["report"])
            if not files["keep_checkpoint"]:
                _from_first_rank(comm, lambda: remove_checkpoints(checkpoint))
            if not options.quiet:
                print(_outcome(result))
                print(f"result: {out}")
                if files["report"]:
                    print(f"report: {_report_path(out)}")
    except Stopped:
        raise Failure(STOPPED, "stopped by SIGTERM; go on with --resume") from None
    return DONE


def _from_first_rank(comm: Any, function: Callable[[], Any]) -> Any:
    from ptyxrf.parallel.startup import from_first_rank

    return from_first_rank(comm, function)


def _read_scan(path: str, turns: Mapping[str, Any], *, check: bool = True) -> Scan:
    from ptyxrf.driver.files.scan_file import read_scan

    return read_scan(path, check=check, **{key: bool(turns[key]) for key in TURNS})


def _with_maps(scan: Scan, files: Mapping[str, Any]) -> Scan:
    from ptyxrf.driver.files.maps_file import attach_maps, read_maps

    maps = read_maps(files["maps"], files["elements"])
    more = {} if files["attenuation"] is None else {"attenuation": files["attenuation"]}
    return attach_maps(scan, maps, match=files["match"], **more)


def _run(
    scan: Scan, settings: Mapping[str, Any], *, quiet: bool, comm: Any, label: str = ""
) -> Result | TiledResult:
    from ptyxrf.driver.command.progress import progress
    from ptyxrf.driver.reconstruction.reconstruct import reconstruct

    # What is left open is left to the library.
    given = {key: value for key, value in settings.items() if value is not None}
    budget = {key: given.get(key) for key in ("max_iterations", "max_sweeps", "max_seconds")}
    with progress(quiet=quiet or not _is_first(comm), label=label, **budget) as callback:
        return reconstruct(scan, callback=callback, comm=comm, **given)


def _write(result: Result | TiledResult, scan: Scan, out: Path, *, picture: bool) -> None:
    from ptyxrf.driver.files.result_file import write_result

    write_result(out, result, scan)
    if picture:
        from ptyxrf.driver.pictures.result_picture import write_report

        write_report(_report_path(out), result, scan)


# simulate -------------------------------------------------------------------------------------------------


def _simulate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="scan file to write")
    _add_settings_file(parser)
    parser.add_argument("--quiet", action="store_true", help="no summary")
    _add_settings(parser, "simulation", SIMULATE)


def _simulate(options: argparse.Namespace) -> int:
    (settings,) = _settings(options, "simulate")
    if options.show_settings:
        print(settings_text({"simulate": settings}), end="")
        return DONE
    out = Path(options.out)
    images = [settings[key] for key in ("magnitude", "phase", "real", "imaginary")]
    _check_outputs([out], [options.settings, *images])

    from ptyxrf.driver.files.scan_file import write_scan
    from ptyxrf.driver.simulation.simulate import simulate

    scan = simulate(**_simulation(settings))
    write_scan(out, scan)
    if not options.quiet:
        print(scan)
        print(f"scan: {out}")
    return DONE


def _simulation(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `simulate` for the settings of a simulation."""
    from ptyxrf.driver.data.geometry import JOULES_PER_KEV

    arguments = {key: value for key, value in settings.items() if value is not None}
    if "energy_keV" in arguments:
        arguments["energy"] = arguments.pop("energy_keV") * JOULES_PER_KEV
    if arguments["sampling"] == "none":
        arguments["sampling"] = None
    if isinstance(arguments["per_side"], list):
        arguments["per_side"] = tuple(arguments["per_side"])
    pairs = {"magnitude-phase": ("magnitude", "phase"), "real-imaginary": ("real", "imaginary")}
    given = {key: arguments.pop(key, None) for pair in pairs.values() for key in pair}
    chosen = [kind for kind, pair in pairs.items() if any(given[key] for key in pair)]
    if len(chosen) > 1:
        raise ValueError("magnitude, phase, real, imaginary: expected two images of one kind, got both kinds")
    for kind in chosen:
        from ptyxrf.driver.simulation.specimens import from_images, read_image

        for key, other in (pairs[kind], pairs[kind][::-1]):
            if given[key] is None:
                raise ValueError(f"{key}: expected an image beside {other}, got none")
        try:
            images = [read_image(given[key]) for key in pairs[kind]]
        except ImportError as error:
            raise ValueError(str(error)) from error
        n = arguments.get("n")
        arguments["specimen"] = from_images(*images, kind=kind, shape=None if n is None else (n, n))
    return arguments


# info -----------------------------------------------------------------------------------------------------


AT_LEAST_TWO = Number(minimum=2, whole=True)


def _info_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="scan file, result file, checkpoint, or MAPS file")
    parser.add_argument("--json", action="store_true", help="the same as JSON, in SI units")
    parser.add_argument(
        "--orientation",
        action="store_true",
        help="rank the 8 flips and transposes of the positions by the loss after a few sweeps",
    )
    parser.add_argument(
        "--patterns",
        metavar="N",
        default="100",
        help="patterns for --orientation, around the middle (default 100)",
    )
    parser.add_argument(
        "--sweeps", metavar="X", default="30", help="sweeps that --orientation gives to each (default 30)"
    )
    _add_settings(parser, "positions of files of other programs", {key: FILES[key] for key in TURNS})


def _info(options: argparse.Namespace) -> int:
    from ptyxrf.driver.data.plain_json import plain

    patterns = check_value(
        "--patterns", Setting(AT_LEAST_TWO, None, ""), AT_LEAST_TWO.from_text(options.patterns)
    )
    sweeps = check_value("--sweeps", Setting(POSITIVE, None, ""), POSITIVE.from_text(options.sweeps))
    inform = _informer(options.file)
    if inform is not None:
        what, function = inform
        if options.orientation:
            raise ValueError(f"--orientation: expected a scan, got {what}")
        facts, text = function(options.file)
        print(json.dumps(plain(facts), indent=2) if options.json else text)
        return DONE

    from ptyxrf.driver.analysis.inspection import inspect_scan
    from ptyxrf.driver.command.info_text import scan_text

    scan = _read_scan(options.file, vars(options))
    information = inspect_scan(scan)
    facts = information.facts | {
        "findings": [{"level": finding.level, "text": finding.text} for finding in information.findings]
    }
    if not options.json:
        print(scan_text(information))
    if options.orientation:
        from ptyxrf.driver.analysis.orientation import rank_orientations
        from ptyxrf.driver.command.info_text import ranking_text

        ranking = rank_orientations(
            scan,
            patterns=patterns,
            max_sweeps=sweeps,
            report=None if options.json else lambda line: print(line, file=sys.stderr, flush=True),
        )
        facts["orientations"] = [
            {key: getattr(orientation, key) for key in TURNS} | {"loss": loss}
            for orientation, loss in ranking
        ]
        if not options.json:
            print("\n" + ranking_text(ranking))
    if options.json:
        print(json.dumps(plain(facts), indent=2))
    return DONE


def _informer(path: str) -> tuple[str, Callable[[str], tuple[dict[str, Any], str]]] | None:
    """Return what a file is and what tells about it, or None for a scan."""
    from ptyxrf.driver.files.checkpoint_file import is_checkpoint
    from ptyxrf.driver.files.hdf5_reader import reading
    from ptyxrf.driver.files.result_file import PROCESS

    with reading(path) as reader:
        if is_checkpoint(reader):
            return "a checkpoint", _checkpoint_information
        if reader.own and reader.has(PROCESS):
            return "a result", _result_information
        if reader.has("/MAPS"):
            return "maps", _maps_information
    return None


def _checkpoint_information(path: str) -> tuple[dict[str, Any], str]:
    from ptyxrf.driver.analysis.file_facts import checkpoint_facts
    from ptyxrf.driver.command.info_text import checkpoint_text
    from ptyxrf.driver.files.checkpoint_file import check_fields, read_checkpoint

    facts = checkpoint_facts(read_checkpoint(path), check_fields(path))
    return facts, checkpoint_text(facts)


def _result_information(path: str) -> tuple[dict[str, Any], str]:
    from ptyxrf.driver.analysis.file_facts import result_facts
    from ptyxrf.driver.command.info_text import result_text
    from ptyxrf.driver.files.result_file import read_result

    facts = result_facts(read_result(path))
    return facts, result_text(facts)


def _maps_information(path: str) -> tuple[dict[str, Any], str]:
    from ptyxrf.driver.analysis.file_facts import maps_facts
    from ptyxrf.driver.command.info_text import maps_text
    from ptyxrf.driver.files.maps_file import read_maps

    facts = maps_facts(read_maps(path))
    return facts, maps_text(facts)


# plan -----------------------------------------------------------------------------------------------------

#: What `plan` takes in place of a scan file, and beside it.
PLAN = {
    "ranks": Setting(COUNT, 1, "number of ranks, up to 100000 in seconds"),
    "nodes": Setting(COUNT, None, "nodes that the ranks are spread over (default: 64 ranks on each)"),
    "n": Setting(COUNT, None, "in place of a scan: edge of the object in pixels"),
    "positions": Setting(COUNT, None, "in place of a scan: number of positions, on a raster"),
    "m": Setting(Number(minimum=2, whole=True), None, "in place of a scan: edge of a pattern in pixels"),
    "modes": Setting(COUNT, 1, "in place of a scan: probe modes"),
    "elements": Setting(Number(minimum=0, whole=True), 0, "in place of a scan: number of maps"),
    "sampling": Setting(Choice(("grid", "scan")), "scan", "in place of a scan: where the maps are sampled"),
    "method": Setting(Choice(("joint", "ptychography", "fluorescence")), "joint", "which data are used"),
    "precision": Setting(Choice(("single", "double")), "single", "precision of the fields"),
    "refine_probe": Setting(Switch(), False, "the probe is an unknown"),
    "machine": Setting(File(), None, "constants that ptyxrf bench wrote (default: those of this user)"),
    "picture": Setting(File(), None, "draw the tiles and the efficiency as PNG"),
}
SCAN_IN_NUMBERS = ("n", "positions", "m")


def _plan_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scan", metavar="SCAN", nargs="?", help="scan file; or give --n, --positions and --m")
    parser.add_argument("--json", action="store_true", help="the same as JSON, in SI units")
    _add_settings(parser, "plan", PLAN)


def _plan(options: argparse.Namespace) -> int:
    flags = {key: getattr(options, key) for key in PLAN}
    settings = checked_settings(PLAN, {}, flags)
    given = [
        flag_name(key)
        for key in (*SCAN_IN_NUMBERS, "modes", "elements", "sampling")
        if flags[key] is not None
    ]
    missing = [flag_name(key) for key in SCAN_IN_NUMBERS if settings[key] is None]
    if options.scan is None and missing:
        raise ValueError(f"SCAN: expected a scan file, or {', '.join(missing)}; got neither")
    if options.scan is not None and given:
        raise ValueError(f"{given[0]}: expected none beside a scan file, which says it itself")
    if settings["picture"] is not None:
        _check_outputs([Path(settings["picture"])], [options.scan, settings["machine"]])

    from ptyxrf.driver.planning.machine import Machine, default_path, read_machine
    from ptyxrf.driver.planning.plan import make_plan, plan_text, problem_from_numbers, problem_of

    path = settings["machine"] or (default_path() if default_path().exists() else None)
    machine = Machine() if path is None else read_machine(path)
    how = {key: settings[key] for key in ("method", "precision", "refine_probe")}
    if options.scan is not None:
        from ptyxrf.driver.files.scan_file import read_scan

        problem = problem_of(read_scan(options.scan, check=False), **how)
    else:
        sizes = {key: settings[key] for key in (*SCAN_IN_NUMBERS, "modes", "elements", "sampling")}
        problem = problem_from_numbers(**sizes, **how)
    plan = make_plan(problem, settings["ranks"], settings["nodes"], machine)
    print(json.dumps(plan.facts(), indent=2) if options.json else plan_text(plan))
    if settings["picture"] is not None:
        from ptyxrf.driver.pictures.plan_picture import write_plan_picture

        write_plan_picture(settings["picture"], plan)
        if not options.json:
            print(f"picture: {settings['picture']}")
    return DONE


# bench ----------------------------------------------------------------------------------------------------


def _bench_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", metavar="N", default="15", help="repetitions of each timing (default 15)")
    parser.add_argument(
        "--out", metavar="FILE", help="where the constants for ptyxrf plan go (default: this user's cache)"
    )
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def _bench(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from ptyxrf.driver.command.bench_text import HEAD, facts, row, summary
    from ptyxrf.driver.planning.bench import measure_machine
    from ptyxrf.driver.planning.machine import default_path, write_machine
    from ptyxrf.driver.planning.machine_timing import PatternTimes

    rounds = check_value("--rounds", Setting(COUNT, None, ""), COUNT.from_text(options.rounds))
    out = Path(options.out) if options.out else default_path()

    def prepare() -> None:
        if not options.out:
            out.parent.mkdir(parents=True, exist_ok=True)
        _check_outputs([out], [])

    _from_first_rank(options.comm, prepare)

    def report(times: PatternTimes) -> None:
        if not options.json:
            print(row(times), flush=True)

    if not options.json:
        print(HEAD, flush=True)
    measured = measure_machine(options.comm, rounds, report)
    _from_first_rank(options.comm, lambda: write_machine(out, measured.machine))
    if options.json:
        print(json.dumps({**asdict(measured.machine), **facts(measured)}, indent=2))
        return DONE
    print(f"{summary(measured)}\nconstants for ptyxrf plan: {out}")
    return DONE


# paper ----------------------------------------------------------------------------------------------------


def _paper_arguments(parser: argparse.ArgumentParser) -> None:
    from ptyxrf.experiments.catalogue import NAMES

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
    from ptyxrf.driver.simulation.specimens import read_image

    try:
        read_image(path)
    except (ImportError, OSError, SyntaxError, ValueError) as error:
        if getattr(error, "filename", None) == str(path):
            raise
        raise ValueError(f"--images: {path}: {error}") from error


def _paper(options: argparse.Namespace) -> int:
    from ptyxrf.experiments.catalogue import NAMES, experiment

    names = list(NAMES) if options.name == "all" else [options.name]
    folder, comm = Path(options.out), options.comm
    images = None if options.images is None else (Path(options.images[0]), Path(options.images[1]))

    def prepare() -> None:
        for name in names:
            experiment(name)
        for path in images or ():
            _check_image(path)
        _make_folder(folder)
        _check_outputs([folder / "paper.md", folder / "paper.html"], [])

    _from_first_rank(comm, prepare)

    from ptyxrf.experiments.run import run_experiments
    from ptyxrf.experiments.run_cache import Study

    study = Study(
        folder, quick=options.quick, images=images, comm=comm, fresh=options.fresh, quiet=options.quiet
    )
    run_experiments(names, study, lambda line: print(line, flush=True))
    print(f"page: {folder / 'paper.html'} and {folder / 'paper.md'}")
    return DONE


# demo -----------------------------------------------------------------------------------------------------

#: What the demonstration simulates, at full and at reduced size.
DEMO: dict[str, Any] = {
    "n": 224,
    "m": 64,
    "per_side": 16,
    "elements": 3,
    "dtype": "float32",
    "title": "simulated cells",
}
QUICK_DEMO = DEMO | {"n": 112, "m": 32, "per_side": 11}
DEMO_SWEEPS = {False: 120.0, True: 40.0}


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", metavar="DIR", default="ptyxrf-demo", help="where to write (default ptyxrf-demo)"
    )
    parser.add_argument("--quick", action="store_true", help="a smaller object and fewer sweeps")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def _demo(options: argparse.Namespace) -> int:
    folder, comm = Path(options.out), options.comm
    scan_path, out = folder / "scan.h5", folder / "result.h5"

    from ptyxrf.driver.files.scan_file import write_scan
    from ptyxrf.driver.pictures.result_picture import error_labels
    from ptyxrf.driver.simulation.simulate import simulate

    def make() -> Scan:
        _make_folder(folder)
        _check_outputs([scan_path, out, _report_path(out)], [])
        write_scan(scan_path, simulate(**(QUICK_DEMO if options.quick else DEMO)))
        return _read_scan(str(scan_path), dict.fromkeys(TURNS, False), check=False)

    scan = _from_first_rank(comm, make)
    print(scan, flush=True)
    if comm is not None:
        print(f"on {comm.Get_size()} ranks", flush=True)
    results = {}
    for method in ("joint", "ptychography", "fluorescence"):
        settings = {"method": method, "max_sweeps": DEMO_SWEEPS[options.quick]}
        results[method] = _run(scan, settings, quiet=options.quiet, comm=comm, label=method)
    _write(results["joint"], scan, out, picture=True)
    print("\nmean square errors against the truth, with both data sets and with one:")
    print(
        _error_table(
            {method: result.history[-1].errors for method, result in results.items()}, error_labels(scan)
        )
    )
    print(_gain({method: result.history[-1].errors for method, result in results.items()}, scan))
    print(f"\nscan:   {scan_path}\nresult: {out}\nreport: {_report_path(out)}")
    return DONE


def _error_table(errors: Mapping[str, Mapping[str, float]], labels: Mapping[str, str]) -> str:
    """Return errors as a table with a row for each method."""
    lines = [" " * 14 + "".join(f"{label:>11}" for label in labels.values())]
    for method, row in errors.items():
        values = [row.get(name, math.nan) for name in labels]
        cells = "".join(f"{value:11.2e}" if math.isfinite(value) else f"{'-':>11}" for value in values)
        lines.append(f"{method:<14}{cells}")
    return "\n".join(lines)


def _gain(errors: Mapping[str, Mapping[str, float]], scan: Scan) -> str:
    """Return in a sentence how much smaller the errors of the joint reconstruction are."""
    joint, maps = errors["joint"], [f"mse_{name}_illuminated" for name in scan.element_names]
    ratios = [errors["fluorescence"][name] / joint[name] for name in maps]
    gain = errors["ptychography"]["mse_aligned"] / joint["mse_aligned"]
    return (
        f"joint: the object's error (without the global phase) is 1/{gain:.2g} of ptychography's, "
        f"the maps' are 1/{min(ratios):.2g} to 1/{max(ratios):.2g} of fluorescence's"
    )


SUBCOMMANDS = (
    Subcommand(
        "demo",
        "[--out DIR] [--quick]",
        "simulate a small joint scan, reconstruct it, and show what the joint method gains",
        "Simulate cells with three elements, reconstruct them from both data sets and from each alone, and "
        "write scan.h5, result.h5 and result.png (the report of the joint reconstruction).",
        _demo_arguments,
        _demo,
    ),
    Subcommand(
        "simulate",
        "OUT.h5 [--settings FILE] [flags]",
        "simulate a scan",
        "Simulate diffraction patterns and fluorescence of a scan and write them to a scan file.",
        _simulate_arguments,
        _on_first_rank(_simulate),
    ),
    Subcommand(
        "reconstruct",
        "SCAN.h5 --out RESULT.h5 [--resume] [--settings FILE] [flags]",
        "reconstruct a scan",
        "Reconstruct the object, the element maps and, where asked to, the probe of a scan. Writes a result "
        "file and, beside it, a report as PNG; while it runs, checkpoints (RESULT.checkpoint.h5). SIGUSR1 "
        "asks for a checkpoint after the present iteration, SIGTERM for one and the end (code 75); --resume "
        "goes on from there.",
        _reconstruct_arguments,
        _reconstruct,
    ),
    Subcommand(
        "info",
        "FILE [--json] [--orientation]",
        "say what is in a file, and what is wrong or suspicious",
        "Say what is in a scan, its units, overlap, photons and the memory that a reconstruction needs, and "
        "everything wrong or suspicious about it; or what is in a result or a checkpoint.",
        _info_arguments,
        _on_first_rank(_info),
    ),
    Subcommand(
        "plan",
        "[SCAN.h5] --ranks R [--nodes K] [flags]",
        "say how a reconstruction would spread over ranks, without running it",
        "Cut a scan (or a raster given by numbers) into tiles for a number of ranks and say how they "
        "balance, what they send, the memory that each takes, the time of a Hessian product, and how far "
        "more ranks would help. Needs no MPI.",
        _plan_arguments,
        _on_first_rank(_plan),
    ),
    Subcommand(
        "paper",
        "NAME|all [--out DIR] [--quick] [--images MAGNITUDE PHASE]",
        "run the experiments of the paper and check its claims",
        "Run an experiment of arXiv 2511.02153, or all of them: write its figures, its "
        "numbers as JSON, a verdict for each claim, and one page with all that are there. What "
        "was computed before is kept: an interrupted run goes on where it was.",
        _paper_arguments,
        _paper,
    ),
    Subcommand(
        "bench",
        "[--rounds N] [--out FILE]",
        "measure this machine: time per pattern beside the fastest bare FFT pair, and messages",
        "Time gradient and Hessian product per pattern in multiples of one forward and one inverse FFT by "
        "the fastest library that is installed (pip install ptyxrf[bench] adds two), pixels and the blur of "
        "a map, and, under mpiexec, messages between ranks, all of which measure at once. Keeps the "
        "constants that ptyxrf plan uses.",
        _bench_arguments,
        _bench,
    ),
)
