"""The command `ptyxrf` with a fault in one rank: victim.py FAULT RANK FOLDER WORDS...

Faults that come from outside (signals) are sent by faults.py, which finds the process numbers in the folder.
The others happen here: at a sum over the ranks after faults.py has made the file `now`, or while a file is
read or written. The time of the fault goes to the file `when`.
"""

import ctypes
import itertools
import os
import resource
import signal
import sys
import time
from pathlib import Path

import h5py
import numpy as np

from ptyxrf.driver.command.main import main
from ptyxrf.driver.files import hdf5_writer, result_file, tiled_file
from ptyxrf.driver.files.pattern_file import PatternFile
from ptyxrf.driver.job.ranks import launched
from ptyxrf.parallel.reduction import Ranks


def raise_an_error():
    raise TypeError("a slip")


def crash():
    ctypes.string_at(0)


def use_all_memory():
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (50 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    np.ones(200 << 20)


def hang():
    time.sleep(10_000)


#: Faults during the iterations.
AT_A_SUM = {"exception": raise_an_error, "segfault": crash, "memory": use_all_memory, "stuck": hang}


def before(owner, name, act):
    """Run an action before a function of a module or a class is called."""
    function = getattr(owner, name)

    def acting(*words, **options):
        act(*words)
        return function(*words, **options)

    setattr(owner, name, acting)


def after(owner, name, act):
    function = getattr(owner, name)

    def acting(*words, **options):
        result = function(*words, **options)
        act(*words)
        return result

    setattr(owner, name, acting)


def while_writing(act):
    """Run an action when this rank opens a file to write its tiles, in turn or with the others."""

    def acting(file, path, mode="r", *_):
        if mode == "r+":
            act(path if isinstance(path, Path) else Path(path.name))

    before(h5py.File, "__init__", acting)


def fill_disk(path, *_):
    """Fill the disk of the file; if it cannot be filled, limit the size of files."""
    now()
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    if not os.path.ismount(folder):
        size = path.stat().st_size + 4096 if Path(path).is_file() else 4096
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return
    with open(folder / "ballast", "wb", buffering=0) as ballast:
        for block in (1 << 16, 1 << 12, 1):
            try:
                while ballast.write(bytes(block)):
                    pass
            except OSError:
                continue


def limit_files(path):
    """Make the disk full for this rank alone, after the checks."""
    now()
    size = path.stat().st_size // 2
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def stop(*_):
    now()
    os.kill(os.getpid(), signal.SIGSTOP)


def from_the_third_on(act):
    """Run an action when there are two checkpoints."""
    calls = itertools.count(1)

    def acting(*words):
        if next(calls) > 2:
            act(*words)

    return acting


def now():
    (FOLDER / "when").write_text(str(time.time()))


def prepare(fault, scan):
    """Arrange for the fault on this rank."""
    if fault in AT_A_SUM:

        def act(*_):
            if (FOLDER / "now").exists():
                now()
                AT_A_SUM[fault]()

        before(Ranks, "sum", act)
    elif fault == "full disk":
        after(tiled_file, "check_space", fill_disk)
        after(result_file, "check_space", fill_disk)
    elif fault == "full disk at once":
        before(result_file, "creating", fill_disk)
    elif fault == "full disk of one rank":
        while_writing(limit_files)
    elif fault == "stopped, writing":
        while_writing(stop)
    elif fault == "full disk, checkpoint":
        after(tiled_file, "check_space", from_the_third_on(fill_disk))
    elif fault == "full disk of one rank, checkpoint":
        while_writing(from_the_third_on(limit_files))
    elif fault == "scan shrinks":

        def shrink(*_):
            now()
            os.truncate(scan, os.path.getsize(scan) // 2)

        before(PatternFile, "__getitem__", shrink)
    elif fault == "scan disappears":

        def remove(*_):
            now()
            scan.unlink(missing_ok=True)

        before(PatternFile, "__getitem__", remove)


FAULT, VICTIM, FOLDER, *WORDS = sys.argv[1:]
FOLDER = Path(FOLDER)
_, RANK = launched(os.environ)
(FOLDER / f"rank-{RANK}").write_text(str(os.getpid()))
tiled_file.LONGEST_WRITE = 8.0  # seconds, of a file that takes less than one
hdf5_writer.IMAGE_CHUNK = 16  # so that every rank has chunks of its own, and shares some
if int(VICTIM) == RANK:
    prepare(FAULT, FOLDER / "scan.h5")
sys.exit(main(WORDS))
