"""Settings of a simulation: specimen, optics, scan path, fluorescence detector and noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ptyxrf.driver.data.kinds import (
    COUNT,
    COUNT_OR_ZERO,
    NOT_NEGATIVE,
    POSITIVE,
    Choice,
    Either,
    File,
    Number,
    Several,
    Switch,
    Text,
)
from ptyxrf.driver.data.setting import SettingsGroup, setting
from ptyxrf.driver.data.words import BLURS, PATHS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from ptyxrf.driver.simulation.specimens import Specimen

PIXELS = Number(minimum=2, whole=True)
PER_ELEMENT = "X[,X,...]"
NOISE = Either((Choice(("counting",)), NOT_NEGATIVE), "{counting,X}")


class SpecimenChoice(Choice):
    """The name of a procedural specimen, a `Specimen`, or an array."""

    def __init__(self, words: tuple[str, ...]) -> None:
        super().__init__(words)
        self.annotation += " or Specimen or (n_rows, n_cols) array of complex"
        self.expected += ", or a Specimen or an array"

    def accept(self, value: Any) -> Any:
        """Return a name that is known, or an object that may be a specimen: `simulate` checks it."""
        is_object = hasattr(value, "__array__") or hasattr(value, "transmission")
        return value if is_object else super().accept(value)


class NumberType(Choice):
    """The name of a number type, or the type itself."""

    def accept(self, value: Any) -> Any:
        """Return the name of a type that is known."""
        return super().accept(getattr(value, "name", None) or getattr(value, "__name__", value))


@dataclass(frozen=True, kw_only=True)
class SpecimenSettings(SettingsGroup):
    """What is scanned."""

    specimen: str | Specimen | ArrayLike = setting(
        "cells",
        SpecimenChoice(("cells", "star")),
        "procedural specimen; in Python also an object of one's own, of which an array has one element, "
        "w = Im z - link_offset with an attenuation of 1",
    )
    magnitude: str | None = setting(
        None, File(), "image whose grey values are the object's magnitude, in place of a specimen"
    )
    phase: str | None = setting(
        None, File(), "image whose grey values are the object's phase, beside magnitude"
    )
    real: str | None = setting(
        None, File(), "image whose grey values are the object's real part, in place of a specimen"
    )
    imaginary: str | None = setting(
        None, File(), "image whose grey values are the object's imaginary part, beside real"
    )
    n: int | None = setting(None, COUNT, "edge of a square object grid in pixels")
    shape: tuple[int, int] | None = setting(
        None,
        Several(COUNT, 2),
        "rows and columns of the object grid, in place of n (default: those of the specimen, or what the "
        "positions cover)",
    )
    elements: int | None = setting(None, COUNT, "number of elements of a procedural specimen (default 1)")
    attenuation: float | tuple[float, ...] | None = setting(
        None,
        Either((Number(), Several(Number())), PER_ELEMENT),
        "attenuation of each element in the link, in place of the specimen's own",
    )
    link: str = setting(
        "linear",
        Choice(("linear", "refractive")),
        "how the elements of a procedural specimen enter the object: as its imaginary part, or as areal "
        "densities (kg/m^2) of real elements in a matrix that fluorescence does not see, with the optical "
        "constants at the photon energy",
    )
    link_offset: float = setting(
        0.0, Number(), "imaginary part of the object where there is no element, in the linear link"
    )
    contrast: float = setting(
        1.0,
        POSITIVE,
        "largest delay of the phase by the elements in the refractive link, of which the matrix adds three "
        "tenths",
        unit="radians",
    )
    matrix: str = setting("C5H8O2", Text(), "chemical formula of the matrix in the refractive link")

    def check(self) -> None:
        """Refuse two grids, images that are not a pair, and what the refractive link has no use for."""
        super().check()
        if self.link == "refractive":
            images = self.magnitude or self.phase or self.real or self.imaginary
            for name, unfit in (
                ("specimen", not isinstance(self.specimen, str) or images is not None),
                ("attenuation", self.attenuation is not None),
                ("link_offset", self.link_offset != 0),
            ):
                if unfit:
                    value = "one's own" if name == "specimen" else getattr(self, name)
                    raise ValueError(
                        f"{name}: expected that of a procedural specimen beside link = 'refractive', got "
                        f"{value}"
                    )
        if self.n is not None and self.shape is not None:
            raise ValueError(f"n: expected n or shape, got n {self.n} and shape {self.shape}")
        pairs = [("magnitude", "phase"), ("real", "imaginary")]
        if all(any(getattr(self, name) for name in pair) for pair in pairs):
            raise ValueError(
                "magnitude, phase, real, imaginary: expected two images of one kind, got both kinds"
            )
        for pair in pairs:
            for name, other in (pair, pair[::-1]):
                if getattr(self, other) is not None and getattr(self, name) is None:
                    raise ValueError(f"{name}: expected an image beside {other}, got none")


@dataclass(frozen=True, kw_only=True)
class ProbeOptics(SettingsGroup):
    """The illumination: that of a zone plate, unless `simulate` is given a probe."""

    m: int | None = setting(None, PIXELS, "edge of a pattern in pixels (default 64, or that of the probe)")
    modes: int | None = setting(None, COUNT, "number of probe modes, made from a single probe (default 1)")
    energy_keV: float | None = setting(None, POSITIVE, "photon energy in keV (default 8.8)")
    energy: float | None = setting(None, POSITIVE, "photon energy in joules, in place of energy_keV")
    pixel_size: float | None = setting(
        None, POSITIVE, "pixel of the object grid in metres (default 25e-9); detector pixels have 75e-6"
    )
    outermost_zone_width: float | None = setting(
        None, POSITIVE, "width of the zone plate's outermost zone", unit="metres"
    )
    diameter: float | None = setting(None, POSITIVE, "diameter of the zone plate", unit="metres")
    central_stop: float | None = setting(
        None, NOT_NEGATIVE, "diameter of the zone plate's central stop", unit="metres"
    )
    defocus: float | None = setting(None, Number(), "distance from focus to specimen", unit="metres")

    def check(self) -> None:
        """Refuse two energies."""
        super().check()
        if self.energy_keV is not None and self.energy is not None:
            raise ValueError(f"energy: expected none beside energy_keV {self.energy_keV}, got {self.energy}")


@dataclass(frozen=True, kw_only=True)
class ScanPath(SettingsGroup):
    """Where the positions are, unless `simulate` is given them."""

    path: str = setting("raster", Choice(PATHS), "kind of scan")
    per_side: int | tuple[int, int] | str = setting(
        8,
        Either((COUNT, Several(COUNT, 2), Choice(("fit",), none="fit")), "{N[,N],fit}"),
        "positions along rows and columns, one number for both; fit, or None in Python: as many as fit",
    )
    overlap: float | None = setting(
        None,
        Number(minimum=0.0, maximum=1.0),
        "1 - step/m (default: even positions over a grid that is given, else 0.5)",
    )
    step: float | None = setting(None, POSITIVE, "step in pixels, in place of the overlap")
    margin: int = setting(0, COUNT_OR_ZERO, "pixels left around the outermost windows")
    jitter: float | None = setting(
        None,
        NOT_NEGATIVE,
        "random displacement as a fraction of the step (default 0, for a random path 0.5)",
    )
    fractional: bool = setting(False, Switch(), "keep fractions of pixels in the positions")


@dataclass(frozen=True, kw_only=True)
class FluorescenceDetector(SettingsGroup):
    """How the fluorescence is measured."""

    sampling: str = setting(
        "grid",
        Choice(("grid", "scan", "none"), none="none"),
        "fluorescence on the object grid, at the positions, or none (in Python also None)",
    )
    blur: str = setting("convolution", Choice(BLURS), "how grid maps are blurred by the probe")
    sensitivity: float | tuple[float, ...] = setting(
        1.0, Either((POSITIVE, Several(POSITIVE)), PER_ELEMENT), "counts per photon and unit of an element"
    )
    background: float | tuple[float, ...] = setting(
        0.0,
        Either((NOT_NEGATIVE, Several(NOT_NEGATIVE)), PER_ELEMENT),
        "counts that do not come from the specimen",
    )


@dataclass(frozen=True, kw_only=True)
class Noise(SettingsGroup):
    """How many photons there are, and the noise of both data sets."""

    photons: float | None = setting(
        None, POSITIVE, "mean counts per pattern pixel, to which the probe is scaled (default: as it is)"
    )
    noise: float | str = setting(
        0.03,
        NOISE,
        "relative noise of the patterns, sqrt(eta_j / mean(d_j)); counting draws counts (eta = 1), as a "
        "detector would with photons",
    )
    fluorescence_noise: float | str | None = setting(
        None, NOISE, "the same for the maps (default: that of the patterns)"
    )


@dataclass(frozen=True, kw_only=True)
class SimulationSettings(Noise, FluorescenceDetector, ScanPath, ProbeOptics, SpecimenSettings):
    """Settings of `simulate`, each of which is a keyword of it, too."""

    dtype: str = setting("float64", NumberType(("float32", "float64")), "number type of the patterns")
    seed: int = setting(
        0,
        COUNT_OR_ZERO,
        "of the specimen, the positions and both noises, each of which has random numbers of its own",
    )
    title: str | None = setting(None, Text(), "a line about the scan")
