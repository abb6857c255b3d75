"""Names of files beside a result, and temporary files of processes that live."""

import os
import subprocess
from pathlib import Path

from ptyxrf.driver.files.output_names import named_after
from ptyxrf.driver.files.whole_file import remove_remains, whole_file


def test_results_of_different_names_share_nothing():
    names = ["run", "run.h5", "run.cxi", "run.cxi.h5", "run.h5.1", "run.h5.h5", "b.1", "b.1.h5", "b.2.h5"]
    names += [f"{name}_{end}" for name in ("run", "run.h5", "run_", "b.1") for end in ("", ".h5")]
    results = [Path("d") / name for name in names]
    for ending in (".png", ".checkpoint.h5", "-phase.tif"):
        assert len({named_after(result, ending) for result in results}) == len(results)
    assert named_after(Path("d/run.h5"), ".png") == Path("d/run.png")
    assert named_after(Path("d/b.1"), ".png") == Path("d/b.1_.png")


def test_what_another_process_is_writing_stays(tmp_path):
    with whole_file(tmp_path / "run.h5") as temporary:
        here, process = temporary.name, str(temporary).split("-")[-2]
        others = temporary.with_name(here.replace(f"-{process}-", "-1-"))  # a process that always lives
        temporary.rename(others)
        dead = temporary.with_name(here.replace(f"-{process}-", "-4194305-"))  # above the largest number
        dead.touch()
        killed = subprocess.Popen(["sleep", "60"])
        killed.kill()
        os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)  # its parent has not noticed
        unnoticed = temporary.with_name(here.replace(f"-{process}-", f"-{killed.pid}-"))
        unnoticed.touch()
        remove_remains(tmp_path / "run.h5")
        assert others.exists() and not dead.exists() and not unnoticed.exists()
        killed.wait()
        others.rename(temporary)
