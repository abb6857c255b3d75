"""The table of formats has all of them, and its errors are errors."""

import formats
import numpy as np

from ptyxrf.driver.files.readers.registry import readers


def test_every_format_has_a_row():
    names = [row.name for row in formats.rows()]
    missing = [reader.name for reader in readers() if not any(name.startswith(reader.name) for name in names)]
    assert not missing and len(set(names)) == len(names)


def test_errors():
    """What patterns do not tell is no error; a turned object is one."""
    truth = formats.truth().object
    rows, columns = np.indices(truth.shape)
    assert formats.error(2j * truth * np.exp(0.01j * (rows - 2 * columns)), truth, True) < 0.01
    assert formats.error(truth[::-1, ::-1].conj(), truth, True) > 0.5
    shifted = np.roll(formats.truth().elements[0], 1, axis=0)
    assert formats.error(shifted, formats.truth().elements[0], False) < 0.1


def test_the_perfect_scan_has_what_the_files_have():
    scan = formats.perfect(True, True, True)
    assert scan.fluorescence.sum() < 0.9 * formats.truth().counts.sum()
    assert scan.fluorescence_exposure.mean() == 1 and scan.probe_known
    assert not formats.perfect(False, False, False).probe_known
