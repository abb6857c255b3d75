import numpy as np
import pytest
import raw_sets
from raw_sets import CENTRE, DX, M

import ptyxrf
from ptyxrf.driver.reconstruction.alignment import align

SETS = ("micrometres", "npz", "corner")


@pytest.fixture(scope="module")
def truth():
    return raw_sets.made_truth()


@pytest.fixture(scope="module")
def raw(tmp_path_factory, truth):
    """Return the files of each raw set."""
    folder = tmp_path_factory.mktemp("raw")
    names = {
        "micrometres": [folder / "raw.h5"],
        "npz": [folder / "raw.npz"],
        "corner": [folder / "frames.h5", folder / "places.csv"],
    }
    raw_sets.hdf5_in_micrometres(*names["micrometres"], truth)
    raw_sets.npz_without_units(*names["npz"], truth)
    raw_sets.two_files_with_fluorescence(*names["corner"], truth)
    return names


@pytest.fixture(scope="module")
def prepared(raw, tmp_path_factory):
    """Return a function that prepares a set without any setting, once."""
    folder, done = tmp_path_factory.mktemp("prepared"), {}

    def prepare(name):
        if name not in done:
            done[name] = ptyxrf.prepare(raw[name], folder / f"{name}.h5")
        return done[name]

    return prepare


def object_error(scan, result, truth):
    """Return the rms error of the object where the true probe has been."""
    perfect = truth.perfect()
    rows, columns = (min(sizes) for sizes in zip(result.object.shape, truth.object.shape, strict=True))
    area = ptyxrf.illuminated_area(perfect)[:rows, :columns]
    true, found = truth.object[:rows, :columns], result.object[:rows, :columns]
    return np.sqrt(np.mean(abs(align(found, true, area, blind=True) - true)[area] ** 2))


@pytest.mark.parametrize("name", SETS)
def test_without_any_setting(prepared, truth, name):
    """Patterns, positions, mask and geometry of files of which only the paths are given."""
    done = prepared(name)
    scan = ptyxrf.read_scan(done.path)
    assert (scan.N, scan.m) == (len(truth.patterns), M)
    assert scan.probe_known and scan.probe_found == (name != "micrometres")
    good = scan.mask
    assert np.array_equal(np.asarray(scan.patterns)[:, good], truth.patterns[:, good])
    assert np.allclose(scan.positions, truth.positions, atol=1e-3)
    assert scan.pixel_size == pytest.approx(DX, rel=1e-6)
    top, left = CENTRE[0] - M // 2, CENTRE[1] - M // 2
    inside = [(r - top, c - left) for r, c in raw_sets.HOT if 0 <= r - top < M and 0 <= c - left < M]
    assert not any(good[place] for place in inside)
    gap = 0 if name == "corner" else M * 2
    assert (~good).sum() == len(inside) + gap
    assert np.allclose(done.centre, M // 2, atol=0.5)
    assert scan.count_scale[0] == 1.0
    dropped = [frame for frames in done.dropped.values() for frame in frames]
    assert dropped == (list(raw_sets.DARK) if name == "micrometres" else [])


def test_fluorescence_beside_frames(prepared, truth):
    scan = ptyxrf.read_scan(prepared("corner").path)
    assert scan.element_names == ["Fe", "Cu"]
    assert np.array_equal(scan.fluorescence[0], np.rint(truth.positions.sum(axis=1)))


def test_object_of_a_prepared_scan(prepared, truth):
    """A few sweeps come as near to the truth as those of the perfect scan."""
    scan = ptyxrf.read_scan(prepared("micrometres").path)
    how = {"method": "ptychography", "max_sweeps": 40.0, "noise_stop": False}
    perfect = object_error(truth.perfect(), ptyxrf.reconstruct(truth.perfect(), **how), truth)
    assert object_error(scan, ptyxrf.reconstruct(scan, **how), truth) <= 1.05 * perfect


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_objects_of_prepared_scans(prepared, truth, name):
    """Two commands without knowledge lead to the object of the perfect scan, within a twentieth."""
    how = {"method": "ptychography"}
    start = {} if name == "micrometres" else {"probe_start": "zone-plate"}
    perfect = object_error(truth.perfect(), ptyxrf.reconstruct(truth.perfect(), **how, **start), truth)
    scan = ptyxrf.read_scan(prepared(name).path)
    assert object_error(scan, ptyxrf.reconstruct(scan, **how), truth) <= 1.05 * perfect


@pytest.mark.parametrize("name", SETS)
def test_recipe_of_what_was_found_gives_the_same(prepared, tmp_path, name):
    done = prepared(name)
    again = ptyxrf.prepare(
        sorted({reference.split("::")[0] for reference in references(done.recipe)}),
        tmp_path / "again.h5",
        settings=done.recipe,
    )
    first, second = ptyxrf.read_scan(done.path), ptyxrf.read_scan(again.path)
    assert np.array_equal(np.asarray(first.patterns), np.asarray(second.patterns))
    assert np.allclose(first.positions, second.positions, atol=1e-9)
    assert np.array_equal(first.mask, second.mask)


def references(recipe):
    values = [value for value in recipe.as_dict().values() if isinstance(value, str)]
    return [value for value in values if "::" in value]


def test_positions_of_the_other_orientation_are_turned(raw, truth, tmp_path):
    """Columns for rows: the search finds the exchange."""
    done = ptyxrf.prepare(raw["micrometres"], tmp_path / "s.h5", rows="entry/scan/x", columns="entry/scan/y")
    assert done.recipe.swap and not done.recipe.flip_rows and not done.recipe.flip_columns
    assert np.allclose(ptyxrf.read_scan(done.path).positions, truth.positions, atol=1e-3)


def test_output_is_whole_or_absent(raw, tmp_path):
    with pytest.raises(ValueError, match="monitor: expected the name of an array"):
        ptyxrf.prepare(raw["npz"], tmp_path / "s.h5", monitor="nowhere")
    assert not list(tmp_path.iterdir())
