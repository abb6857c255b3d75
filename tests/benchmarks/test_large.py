"""What `benchmarks/large.py` writes is a scan of the frames that it draws, which plans know to be counts."""

import large
import numpy as np
import pytest

from ptyxrf.driver.files.scan_file import read_scan
from ptyxrf.driver.planning.problem_size import ProblemSize


@pytest.mark.parametrize("compress", [False, True])
def test_the_file(tmp_path, monkeypatch, compress):
    monkeypatch.setattr(large, "BLOCK", 7)
    scan, path = large.scan_of(40, 16), tmp_path / "large.h5"
    large.write(path, scan, compress=compress)
    back = read_scan(path)
    drawn = scan.patterns[:]
    assert (back.N, back.m, back.patterns.dtype) == (40, 16, np.uint16)
    assert np.array_equal(back.patterns[:], drawn) and len(np.unique(drawn.sum(axis=(1, 2)))) > 20
    assert drawn.mean() == pytest.approx(large.COUNTS, rel=0.2)
    assert np.array_equal(back.positions, scan.positions) and back.probe_known
    assert ProblemSize.of_scan(back).counts
    assert large.read_plainly(path) > 0
