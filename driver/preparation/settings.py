"""Settings of a preparation, which are a recipe: where data are, and what is to be done with them.

What is left open is found in the data.
"""

from __future__ import annotations

from dataclasses import dataclass

from ptyxrf.driver.data.kinds import (
    COUNT,
    COUNT_OR_ZERO,
    NOT_NEGATIVE,
    POSITIVE,
    Choice,
    Either,
    Number,
    Several,
    Switch,
    Text,
)
from ptyxrf.driver.data.setting import SettingsGroup, setting
from ptyxrf.driver.preparation.quantities import ENERGIES, LENGTHS, TIMES, Quantity

INTEGER = Number(whole=True)
TEXTS = Either((Text(), Several(Text())), "KEY[,KEY,...]")


@dataclass(frozen=True, kw_only=True)
class FrameSettings(SettingsGroup):
    """Which frames there are, and to which positions they belong."""

    frames: str | tuple[str, ...] | None = setting(
        None, TEXTS, "[FILE::]KEY of the frames, or files of one or several frames (also PATH/*.tif)"
    )
    frame_index: str | None = setting(
        None, Text(), "KEY of the index of the position to which each frame belongs (default: their order)"
    )
    select: str | None = setting(
        None, Text(), "which frames to use, as FIRST:LAST:STEP like a slice (default: all)"
    )
    drop: tuple[int, ...] | None = setting(
        None, Several(COUNT_OR_ZERO), "frames to leave out, by their number in the file"
    )
    drop_bad: bool = setting(
        True, Switch(), "leave out frames that are empty, dark, not finite or far too bright"
    )
    triggers: int | None = setting(
        None, COUNT, "frames that follow each other at one position, to be added (default: found)"
    )
    amplitudes: bool = setting(False, Switch(), "the frames are square roots of counts")
    counts_per_photon: float | None = setting(
        None, POSITIVE, "value that one photon adds to a frame (default: 1 for frames of integers)"
    )


@dataclass(frozen=True, kw_only=True)
class PixelSettings(SettingsGroup):
    """Which pixels of the detector are good, and what they count without the beam."""

    mask: str | None = setting(None, Text(), "KEY of the mask of the detector")
    mask_good: int | None = setting(
        None,
        Number(0, 1, whole=True),
        "the value of good pixels in the mask (default: found from the counts)",
    )
    bad_pixels: tuple[int, ...] | None = setting(
        None, Several(COUNT_OR_ZERO), "ROW,COLUMN,ROW,COLUMN,... of pixels to mask, on the raw frame"
    )
    gap_values: tuple[int, ...] | None = setting(
        None,
        Several(INTEGER),
        "values of pixels without a detector (default: negative ones, the largest integer)",
    )
    saturation: float | None = setting(
        None, POSITIVE, "pixels that reach this value in any frame are masked (default: found)"
    )
    hot_pixels: bool = setting(True, Switch(), "find hot and dead pixels, and mask them")
    dark: str | None = setting(None, Text(), "KEY of frames without beam, whose mean is the background")
    dark_use: str = setting(
        "background",
        Choice(("background", "subtract")),
        "keep the dark counts as background of the model, as counts want it, or subtract them (a pedestal)",
    )
    flat: str | None = setting(None, Text(), "KEY of a flat field, by which frames are divided")


@dataclass(frozen=True, kw_only=True)
class WindowSettings(SettingsGroup):
    """Which part of the frames becomes a pattern."""

    corner: bool | None = setting(
        None, Switch(), "the zero frequency is at the corner of the frames (default: found)"
    )
    transpose: bool = setting(False, Switch(), "exchange rows and columns of the frames")
    flip_up_down: bool = setting(False, Switch(), "reverse the rows of the frames, after transpose")
    flip_left_right: bool = setting(False, Switch(), "reverse the columns of the frames, after transpose")
    centre: tuple[float, float] | None = setting(
        None, Several(Number(), 2), "ROW,COLUMN of the beam on the raw frame as turned (default: found)"
    )
    size: int | None = setting(
        None,
        Number(minimum=2, whole=True),
        "edge of a pattern in raw pixels; masked beyond the frame (default: what the frame has around the "
        "centre, with factors 2, 3, 5 and 7, and no more than there are counts)",
    )
    bin: int = setting(1, COUNT, "add so many by so many pixels")


@dataclass(frozen=True, kw_only=True)
class BeamSettings(SettingsGroup):
    """Geometry, and what the beam did at each position."""

    energy: str | None = setting(
        None,
        Quantity("8.8 keV", ENERGIES, LENGTHS),
        "photon energy in keV, eV or J, or wavelength in angstrom, nm or m, or its KEY [in UNIT]",
    )
    distance: str | None = setting(
        None, Quantity("2 m", LENGTHS), "distance from specimen to detector, or its KEY [in UNIT]"
    )
    detector_pixel: str | None = setting(
        None, Quantity("75 um", LENGTHS), "edge of a raw detector pixel, or its KEY [in UNIT]"
    )
    monitor: str | None = setting(None, Text(), "KEY of the counts of an ion chamber for each frame")


@dataclass(frozen=True, kw_only=True)
class PositionSettings(SettingsGroup):
    """Where the positions are."""

    positions: str | None = setting(
        None, Text(), "KEY [in UNIT] of the positions, (N, 2), (N, 3) or (2, N); a unit, a factor, or pixels"
    )
    rows: str | None = setting(None, Text(), "KEY [in UNIT] of the positions along rows (y), beside columns")
    columns: str | None = setting(
        None, Text(), "KEY [in UNIT] of the positions along columns (x), beside rows"
    )
    order: str | None = setting(
        None, Choice(("xy", "yx")), "what comes first in positions: x (columns) or y (default: by its name)"
    )
    fast: str = setting(
        "x", Choice(("x", "y")), "axis that moves first where rows and columns are the axes of a raster"
    )
    orientation: str = setting(
        "search",
        Choice(("search", "given")),
        "try the flips and transposes of the positions on some patterns, or take them as they are",
    )
    swap: bool = setting(False, Switch(), "exchange rows and columns of the positions")
    flip_rows: bool = setting(False, Switch(), "reverse the rows of the positions, after swap")
    flip_columns: bool = setting(False, Switch(), "reverse the columns of the positions, after swap")

    def check(self) -> None:
        """Refuse one coordinate without the other, and two sources of positions."""
        super().check()
        if (self.rows is None) != (self.columns is None):
            missing = "rows" if self.rows is None else "columns"
            raise ValueError(f"{missing}: expected both rows and columns, got one of them")
        if self.positions is not None and self.rows is not None:
            raise ValueError("positions: expected positions, or rows and columns, got both")


@dataclass(frozen=True, kw_only=True)
class ProbeSettings(SettingsGroup):
    """The probe from which a reconstruction is to start."""

    probe: str | None = setting(
        None,
        Text(),
        "[FILE::]KEY of the probe; or search, mean-pattern or zone-plate (default: that of the files, else "
        "search)",
    )
    outermost_zone_width: str | None = setting(
        None, Quantity("45 nm", LENGTHS), "width of the outermost zone of a zone plate"
    )
    diameter: str | None = setting(None, Quantity("180 um", LENGTHS), "diameter of a zone plate")
    central_stop: str | None = setting(
        None, Quantity("60 um", LENGTHS), "diameter of the central stop of a zone plate"
    )
    defocus: float | None = setting(
        None, Number(), "distance from the focus of a zone plate to the specimen", unit="metres"
    )


@dataclass(frozen=True, kw_only=True)
class MapSettings(SettingsGroup):
    """Fluorescence: maps with their axes, or counts at the positions."""

    maps: str | None = setting(
        None, Text(), "file of maps, or [FILE::]KEY of them: (elements, rows, columns) or at the positions"
    )
    map_names: tuple[str, ...] | None = setting(
        None, Several(Text()), "names of the elements, or one KEY of them"
    )
    elements: tuple[str, ...] | None = setting(
        None, Several(Text()), "which elements to keep, and in which order (default: all)"
    )
    spectra: str | None = setting(
        None,
        Text(),
        "[FILE::]KEY of spectra at the positions, (N, channels) or (N, detectors, channels): maps are the "
        "counts around the lines of `elements`",
    )
    spectrum_bin: str = setting(
        "10 eV", Quantity("10 eV", ENERGIES), "energy that a channel of the spectra covers; the first is at 0"
    )
    spectrum_region: str = setting(
        "200 eV", Quantity("200 eV", ENERGIES), "width of the region around a line whose counts are added"
    )
    map_rows: str | None = setting(None, Text(), "KEY [in UNIT] of the axis of the maps along rows (y)")
    map_columns: str | None = setting(None, Text(), "KEY [in UNIT] of their axis along columns (x)")
    map_fast: str = setting("x", Choice(("x", "y")), "last axis of the maps: x, or y for transposed maps")
    map_match: str | None = setting(
        None,
        Choice(("order", "nearest", "bilinear")),
        "how points of the maps are found for the positions (default: order if their numbers agree, else "
        "nearest)",
    )
    map_origin: tuple[float, float] | None = setting(
        None, Several(Number(), 2), "Y,X on the axes of the maps of the first row and column", unit="metres"
    )
    map_flip_rows: bool = setting(False, Switch(), "y of the maps runs against the rows of the positions")
    map_flip_columns: bool = setting(False, Switch(), "x of the maps runs against the columns")
    map_register: bool = setting(
        False, Switch(), "shift the maps to where their sum agrees best with what the patterns show"
    )
    map_values: str = setting(
        "counts",
        Choice(("counts", "rates")),
        "values of the maps: counts, or counts in a second of live time",
    )
    map_variances: str | None = setting(
        None, Text(), "KEY of the variances of the maps (default: counts, whose variance is their mean)"
    )
    live_time: str | None = setting(
        None, Quantity("1 s", TIMES), "live time of the fluorescence detector, or its KEY [in UNIT]"
    )
    dead_time: str | None = setting(
        None, Text(), "KEY of the share of time, 0 to 1 or in per cent, in which that detector was dead"
    )
    attenuation: tuple[float, ...] | None = setting(
        None, Several(Number()), "attenuation of each element in the link"
    )
    sensitivity: str | tuple[float, ...] | None = setting(
        None,
        Either((Several(POSITIVE), Text()), "X,X,... or FILE"),
        "counts per photon and unit of each element, or the file of a calibration",
    )
    map_background: tuple[float, ...] | None = setting(
        None, Several(NOT_NEGATIVE), "counts of each element that do not come from the specimen"
    )


@dataclass(frozen=True, kw_only=True)
class Preparation(
    MapSettings, ProbeSettings, PositionSettings, BeamSettings, WindowSettings, PixelSettings, FrameSettings
):
    """Settings of `prepare`, each of which is a keyword of it, too."""
