"""``ptyxrf uncertainty``: the result gets its error bars, and other commands show them."""

import numpy as np
import pytest

from ptyxrf.driver.analysis.export import export_result
from ptyxrf.driver.command.main import main
from ptyxrf.driver.files.result_file import read_result, write_result
from ptyxrf.driver.files.scan_file import write_scan
from ptyxrf.driver.pictures.result_picture import draw_report
from ptyxrf.driver.reconstruction.reconstruct import reconstruct
from ptyxrf.driver.simulation.simulate import simulate


@pytest.fixture(scope="module")
def measured():
    scan = simulate("cells", m=8, per_side=4, overlap=0.75, elements=2, photons=50.0, noise="counting")
    result = reconstruct(
        scan,
        "joint",
        sequential_first=False,
        fluorescence_prior=2.0,
        refine_positions="each",
        max_iterations=3,
    )
    return scan, result


@pytest.fixture
def files(measured, tmp_path):
    scan, result = measured
    write_scan(tmp_path / "scan.h5", scan)
    write_result(tmp_path / "scan-result.h5", result, scan)
    return str(tmp_path / "scan-result.h5"), str(tmp_path / "scan.h5")


FEW = ["--samples", "2", "--max-products", "20", "--finish-iterations", "1"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_error_bars_stand_in_the_result_the_report_the_export_and_the_facts(files, measured, capsys):
    path, scan_path = files
    assert main(["uncertainty", path, scan_path, *FEW]) == 0
    printed = capsys.readouterr()
    assert "Standard deviations of the posterior" in printed.out
    assert "sample 2 of 2" in printed.err
    scan, before = measured
    result = read_result(path)
    found = result.uncertainty
    assert np.array_equal(result.object, before.object)
    assert set(found.arrays) == {"amplitude", "phase", "elements", "positions"}
    assert found.samples == 2 and found.sampling_error == 0.5
    assert found.positions.shape == scan.positions.shape
    titles = [axes.get_title(loc="left") for axes in draw_report(result, scan).axes]
    names = ["object: amplitude", "object: phase (rad)", *scan.element_names]
    assert {f"{name}, standard deviation" for name in names} <= set(titles)
    (arrays, positions) = export_result(path, "npz")
    with np.load(arrays) as exported:
        assert np.array_equal(exported["deviation_of_phase"], found.phase, equal_nan=True)
        assert np.array_equal(
            exported[f"deviation_of_{scan.element_names[1]}"], found.elements[1], equal_nan=True
        )
    assert positions.read_text().splitlines()[0].endswith("row_deviation,column_deviation")
    assert main(["info", path]) == 0
    assert "error bars" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_error_bars_come_through_a_file_as_they_are(files, measured, tmp_path):
    path, scan_path = files
    main(["uncertainty", path, scan_path, "--samples", "0", "--quiet", "--no-report", "--out", f"{path}.new"])
    assert read_result(path).uncertainty is None
    first = read_result(f"{path}.new")
    write_result(tmp_path / "again.h5", first, measured[0])
    again = read_result(tmp_path / "again.h5").uncertainty
    assert again.meaning == first.uncertainty.meaning
    for name, values in first.uncertainty.arrays.items():
        assert np.array_equal(values, again.arrays[name], equal_nan=True)


def test_bad_input_ends_with_one_line(files, capsys):
    path, scan_path = files
    for words, message in (
        ([path, scan_path, "--samples", "-1"], "--samples: expected an integer"),
        ([path, scan_path, "--out", scan_path], "is an input"),
        ([scan_path, scan_path, "--out", f"{path}.new"], "the file is not a result"),
    ):
        assert main(["uncertainty", *words, "--quiet", "--no-report"]) == 2
        assert message in capsys.readouterr().err
