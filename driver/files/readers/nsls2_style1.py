"""Raw scans of HXN at NSLS-II in files of "style 1": frames, positions, and counts of regions of interest.

``/diff_data/DETECTOR`` has the frames, as a stack (``det_images``) or as the raster of the scan
(``raw_data``), and the ion chamber; ``/scan/scan_positions`` is (2, N) micrometres, x first.
"""

from __future__ import annotations

from typing import Any

from ptyxrf.driver.files.hdf5_reader import Hdf5Reader
from ptyxrf.driver.files.readers.detectors import pixel_of
from ptyxrf.driver.files.readers.reader import Reader

POSITIONS, ENERGY, DETECTORS = "/scan/scan_positions", "/scan/energy", "/diff_data"
MAPS, MAP_NAMES = "/xrf_roi_data/xrf_roi_array", "/xrf_roi_data/xrf_elem_names"


def _recipe(reader: Hdf5Reader) -> dict[str, Any]:
    frames = _frames(reader)
    recipe: dict[str, Any] = {
        "frames": frames,
        "positions": f"{POSITIONS} in um",
        "order": "xy",
        "detector_pixel": pixel_of(frames),
    }
    # the energy is in keV or eV, as is plausible
    beside = {"monitor": f"{frames.rpartition('/')[0]}/Io", "energy": ENERGY, "maps": MAPS}
    recipe |= {setting: name for setting, name in beside.items() if reader.has(name)}
    if "maps" in recipe and reader.has(MAP_NAMES):
        recipe["map_names"] = (MAP_NAMES,)
    return recipe


def _frames(reader: Hdf5Reader) -> str:
    places = ["/entry/data/data"]
    if reader.has(DETECTORS):
        for detector in reader.members(DETECTORS):
            places += [f"{DETECTORS}/{detector}/{name}" for name in ("det_images", "raw_data")]
    for name in places:
        if reader.has(name):
            return name
    raise reader.error(f"{DETECTORS}/DETECTOR/det_images", "no such dataset in the file")


READERS = (
    Reader(
        "NSLS-II style 1",
        "HXN at NSLS-II",
        "raw",
        "frames, positions in um, energy, ion chamber, counts of regions",
        lambda reader: reader.has(POSITIONS) and (reader.has(DETECTORS) or reader.has("/entry/data/data")),
        _recipe,
    ),
)
