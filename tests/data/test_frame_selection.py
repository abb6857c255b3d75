"""A part of the frames of a scan, in memory and lazy, and sources of other libraries."""

import numpy as np
import pytest
from scan_examples import example_scan, same_array

from ptyxrf.driver.data.frame_selection import frame_numbers
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.files.scan_file import read_scan, write_scan


def test_frames_in_words():
    assert frame_numbers("0:10:4", 12).tolist() == [0, 4, 8]
    assert frame_numbers("9:, 1, -3:-2", 11).tolist() == [9, 10, 1, 8]
    assert frame_numbers(slice(None, None, -5), 11).tolist() == [10, 5, 0]
    assert frame_numbers(np.arange(4) > 1, 4).tolist() == [2, 3]
    for wrong in ("a", "0:5:0", "3,3", "12", "5:2", [0.5], ""):
        with pytest.raises(ValueError, match="frames: expected"):
            frame_numbers(wrong, 12)


@pytest.mark.parametrize("lazy", [False, True])
def test_a_part_has_all_that_belongs_to_its_frames(tmp_path, lazy):
    scan = example_scan(sampling="scan", mask=3)
    if lazy:
        write_scan(tmp_path / "scan.h5", scan)
    part = (read_scan(tmp_path / "scan.h5") if lazy else scan).select([7, 2, 3])
    assert part.N == 3 and part.shape == scan.shape
    for name in ("patterns", "positions", "exposure", "fluorescence_exposure", "count_scale", "mask"):
        assert same_array(getattr(scan, name)[[7, 2, 3]], getattr(part, name)), name
    assert same_array(scan.fluorescence[:, [7, 2, 3]], part.fluorescence)
    assert same_array(part.patterns[1:3, 4], scan.patterns[[2, 3], 4])
    write_scan(tmp_path / "part.h5", part)
    assert same_array(read_scan(tmp_path / "part.h5").patterns, part.patterns)


def test_replacing_patterns_by_fewer_keeps_what_is_the_same_for_all():
    scan = example_scan(sampling=None, truth=False).replace(exposure=2.0, count_scale=0.5)
    part = scan.replace(patterns=scan.patterns[::2], positions=scan.positions[::2])
    assert part.N == 6 and (part.exposure == 2).all() and (part.count_scale == 0.5).all()
    with pytest.raises(ValueError, match="exposure: expected a number or 6"):
        scan.replace(exposure=1 + np.arange(12)).replace(
            patterns=scan.patterns[::2], positions=scan.positions[::2]
        )


class Foreign:
    """An array of a library whose dtypes are not NumPy's."""

    dtype = "float32"

    def __init__(self, array):
        self.array, self.shape = array, array.shape

    def __getitem__(self, key):
        return Foreign(self.array[key])

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.array, dtype)


def test_lazy_masks_of_integers_and_sources_of_other_libraries():
    scan = example_scan(sampling="scan", mask=3, truth=False)
    same = scan.replace(
        patterns=Foreign(scan.patterns),
        mask=Foreign(scan.mask.astype("u1")),
        fluorescence=Foreign(scan.fluorescence),
    )
    assert same_array(same.mask[2:5], scan.mask[2:5]) and same_array(same.patterns[3], scan.patterns[3])
    assert same_array(same.measured, scan.measured)
    with pytest.raises(ValueError, match="mask: expected booleans"):
        scan.replace(mask=Foreign(scan.mask * 3)).mask_at([0])


def test_a_text_is_no_list_of_names():
    with pytest.raises(ValueError, match="element_names: expected 2 names"):
        Scan(np.ones((1, 4, 4)), [[0, 0]], np.ones((4, 4)), fluorescence=np.ones((2, 1)), element_names="Fe")
