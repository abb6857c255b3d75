"""The tables of a settings file: which settings each of them holds."""

from __future__ import annotations

from dataclasses import dataclass

from ptyxrf.driver.data.kinds import COUNT, POSITIVE, Choice, Either, File, Number, Several, Switch, Text
from ptyxrf.driver.data.setting import SettingsGroup, redeclared, setting
from ptyxrf.driver.job.settings import JobSettings
from ptyxrf.driver.preparation.calibration_settings import Calibration
from ptyxrf.driver.preparation.settings import Preparation
from ptyxrf.driver.reconstruction.settings import Settings
from ptyxrf.driver.simulation.settings import SimulationSettings


@dataclass(frozen=True, kw_only=True)
class Outputs(SettingsGroup):
    """What a reconstruction leaves behind."""

    out: str | None = setting(
        None, File(), "where the result goes (default: beside the scan, SCAN-result.h5 for SCAN.h5)"
    )
    report: bool = setting(True, Switch(), "draw a picture beside the result")
    keep_checkpoint: bool = setting(
        False, Switch(), "leave the checkpoints in place when the result is written"
    )


@dataclass(frozen=True, kw_only=True)
class Maps(SettingsGroup):
    """Fluorescence from a file of its own."""

    maps: str | None = setting(None, File(), "MAPS file whose count maps are the fluorescence of the scan")
    elements: tuple[str, ...] | None = setting(
        None, Several(Text()), "which elements of the MAPS file, and in which order"
    )
    attenuation: tuple[float, ...] | None = setting(
        None, Several(Number()), "attenuation in the link of each element of the MAPS file"
    )
    phase_shift: tuple[float, ...] | None = setting(
        None,
        Several(Number()),
        "phase shift of each element of the MAPS file beside its attenuation, for the refractive link",
        unit="m^2/kg",
    )
    match: str | None = setting(
        None,
        Choice(("order", "nearest", "bilinear")),
        "how points of the MAPS file are found for the positions",
    )
    origin: tuple[float, ...] | None = setting(
        None,
        Several(Number()),
        "y,x in metres, on the axes of the MAPS file, of the first row and column of the scan",
    )
    detectors: int | None = setting(
        None,
        COUNT,
        "elements of the detector over which rates in the MAPS file are averaged (default: found)",
    )
    axis_unit: str | None = setting(
        None, Text(), "unit of the axes of the MAPS file, where it says nothing or something wrong"
    )
    sensitivity: str | tuple[float, ...] | None = setting(
        None,
        Either((Several(POSITIVE), File()), "X,X,... or FILE"),
        "counts per photon and unit of each element, or the file of a calibration (default: the scan's)",
    )

    def check(self) -> None:
        """Refuse settings of a MAPS file without one."""
        super().check()
        for name in ("elements", "attenuation", "phase_shift", "match", "origin", "detectors", "axis_unit"):
            if getattr(self, name) is not None and self.maps is None:
                raise ValueError(
                    f"--{name.replace('_', '-')}: expected a MAPS file beside it (--maps), got none"
                )


@dataclass(frozen=True, kw_only=True)
class Turns(SettingsGroup):
    """How positions in files of other programs are to be read."""

    swap: bool = setting(False, Switch(), "the file's positions have rows and columns exchanged")
    flip_rows: bool = setting(False, Switch(), "the file's positions run the other way along the rows' index")
    flip_columns: bool = setting(
        False, Switch(), "the file's positions run the other way along the columns' index"
    )


@dataclass(frozen=True, kw_only=True)
class Reading(Turns):
    """What of a file is read, and how."""

    probe: str | None = setting(
        None, File(), "file of the probe: a result, a scan, a .ptyr of PtyPy (default: the scan's own)"
    )
    frames: str | None = setting(
        None, Text(), "patterns that are read, such as 0:400:2 or 0:10,17,20: (default: all)"
    )
    negative_to_zero: bool = setting(
        False, Switch(), "take values of patterns below 0, as after the subtraction of a background, for 0"
    )
    confined: bool = setting(
        False,
        Switch(),
        "for files of strangers: follow nothing out of the folder of a file, and load no plug-ins",
    )


@dataclass(frozen=True, kw_only=True)
class Sources(Reading, Maps):
    """Which files the data of a reconstruction come from."""


@dataclass(frozen=True, kw_only=True)
class Files(Sources, Outputs):
    """Which files a reconstruction reads and writes."""


@dataclass(frozen=True, kw_only=True)
class Reconstruction(Settings):
    """Settings of a reconstruction whose scan and result are files."""

    method: str = redeclared(
        Settings, "method", None, "joint where the scan has fluorescence, else ptychography"
    )
    checkpoint: str | None = redeclared(Settings, "checkpoint", None, "beside the result")

    def check(self) -> None:
        """Check what `Settings` does, but for the path of a checkpoint, which the command knows later."""
        if self.resume and self.checkpoint is None:
            self.replace(checkpoint="beside the result")
        else:
            super().check()


#: Every table that a settings file may hold.
TABLES: dict[str, type[SettingsGroup]] = {
    "reconstruct": Reconstruction,
    "simulate": SimulationSettings,
    "files": Files,
    "job": JobSettings,
    "prepare": Preparation,
    "calibrate": Calibration,
}
#: Keys that have moved to another table, and are still accepted in their old one.
MOVED = {("reconstruct", "watchdog_seconds"): "job"}
