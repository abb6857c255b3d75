"""The command `ptyxrf` with a fault in one rank: victim.py FAULT RANK FOLDER WORDS...

Faults that come from outside (signals) are sent by faults.py, which finds the process numbers in the folder.
The others happen here: at a sum over the ranks after faults.py has made the file `now`, or while a file is
read or written. The time of the fault goes to the file `when`.
"""

import ctypes
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

from ptyxrf.driver import amplitudes, result_file, tiled_file
from ptyxrf.driver.command import main
from ptyxrf.driver.launch import launched
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


#: What happens in the middle of the work.
AT_A_SUM = {"exception": raise_an_error, "segfault": crash, "memory": use_all_memory, "stuck": hang}


def before(owner, name, act):
    """Let something happen before a function of a module or a class is called."""
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


def fill_disk(path, *_):
    """Leave no room where the file is; what cannot be filled gets a limit on the size of files."""
    now()
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    if not os.path.ismount(folder):
        size = Path(path).stat().st_size + 4096 if Path(path).is_file() else 4096
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        return
    with open(folder / "ballast", "wb", buffering=0) as ballast:
        for block in (1 << 16, 1 << 12, 1):
            try:
                while ballast.write(bytes(block)):
                    pass
            except OSError:
                continue


def now():
    (FOLDER / "when").write_text(str(time.time()))


def prepare(fault, scan):
    """Arrange for the fault on this rank."""
    if fault in AT_A_SUM:

        def act(*_):
            if (FOLDER / "now").exists():
                now()
                AT_A_SUM[fault]()

        before(Ranks, "_reduce", act)
    elif fault == "full disk":
        after(tiled_file, "check_space", fill_disk)
        after(result_file, "check_space", fill_disk)
    elif fault == "full disk at once":
        before(result_file, "creating", fill_disk)
    elif fault == "scan shrinks":

        def shrink(*_):
            now()
            os.truncate(scan, os.path.getsize(scan) // 2)

        before(amplitudes, "_patterns", shrink)
    elif fault == "scan disappears":

        def remove(*_):
            now()
            scan.unlink(missing_ok=True)

        before(amplitudes, "_patterns", remove)


FAULT, VICTIM, FOLDER, *WORDS = sys.argv[1:]
FOLDER = Path(FOLDER)
_, RANK = launched(os.environ)
(FOLDER / f"rank-{RANK}").write_text(str(os.getpid()))
if int(VICTIM) == RANK:
    prepare(FAULT, FOLDER / "scan.h5")
sys.exit(main(WORDS))
