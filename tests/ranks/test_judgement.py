"""What is said of wrong and suspicious data is the same on any number of ranks."""

import warnings

import numpy as np
import pytest
from cases import make_scan

from ptyxrf.driver.objective.local_data import LocalData
from ptyxrf.driver.reconstruction.judgement import judge
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.parallel.reduction import Ranks


def said(scan, comm, **settings):
    data = LocalData.read(scan, "ptychography", np.float64, 0, Ranks(comm))
    with warnings.catch_warnings(record=True) as texts:
        warnings.simplefilter("always")
        judge(data, Settings(method="ptychography", **settings).resolved(scan))
    return [str(one.message) for one in texts]


def test_like_one_rank(comm):
    scan = make_scan("snake-positive")
    patterns = np.array(scan.patterns)
    patterns[[1, 5]] = 0
    scan = scan.replace(patterns=patterns, exposure=0.5, fluorescence_exposure=None)
    ours = said(scan, comm, force=True)
    assert ours == said(scan, None, force=True)
    assert any("2 of" in text and "empty" in text for text in ours)
    assert any("exposure has mean 0.5" in text for text in ours)


def test_wrong_data_are_refused_on_every_rank(comm):
    scan = make_scan("snake-positive")
    patterns = np.minimum(np.array(scan.patterns), 60000).astype(np.uint16)
    patterns[:, 1, 1] = 65535
    with pytest.raises(ValueError, match="hold 65535"):
        said(scan.replace(patterns=patterns, mask=None), comm)
