"""Settings of a calibration: a foil whose areal densities are known, and what it counted."""

from __future__ import annotations

from dataclasses import dataclass

from ptyxrf.driver.data.kinds import NOT_NEGATIVE, POSITIVE, Number, Several, Text
from ptyxrf.driver.data.setting import SettingsGroup, setting
from ptyxrf.driver.preparation.quantities import ENERGIES, LENGTHS, Quantity


@dataclass(frozen=True, kw_only=True)
class Calibration(SettingsGroup):
    """Settings of `calibrate`, each of which is a keyword of it, too."""

    elements: tuple[str, ...] | None = setting(
        None, Several(Text()), "elements of the foil, by the names of the maps"
    )
    densities: tuple[float, ...] | None = setting(
        None, Several(POSITIVE), "areal density of each, in any unit: that of the element maps from then on"
    )
    density_error: float = setting(0.0, NOT_NEGATIVE, "relative standard error of the areal densities")
    density_unit: str = setting("ug/cm^2", Text(), "their unit, for the notes")
    photons: float | None = setting(
        None,
        POSITIVE,
        "photons that a point of the foil got, in counts of a pattern without specimen at that exposure",
    )
    photons_error: float = setting(0.0, NOT_NEGATIVE, "relative standard error of the photons")
    counts: tuple[float, ...] | None = setting(
        None, Several(NOT_NEGATIVE), "counts of each element in a point, in place of maps"
    )
    points: int = setting(1, Number(minimum=1, whole=True), "points over which these counts are a mean")
    background: tuple[float, ...] | None = setting(
        None, Several(NOT_NEGATIVE), "counts of each element in a point that do not come from the foil"
    )
    carry: tuple[str, ...] | None = setting(
        None, Several(Text()), "other elements, perhaps with their line (Zn, Au_L), to carry it to by yields"
    )
    energy: str | None = setting(
        None, Quantity("10 keV", ENERGIES, LENGTHS), "photon energy, which yields need, or the wavelength"
    )

    def check(self) -> None:
        """Refuse lists of different lengths, and yields without an energy."""
        super().check()
        for name in ("densities", "counts", "background"):
            values = getattr(self, name)
            if values is not None and self.elements is not None and len(values) != len(self.elements):
                raise ValueError(
                    f"{name}: expected {len(self.elements)} numbers, one per element, got {len(values)}"
                )
        if self.carry is not None and self.energy is None:
            raise ValueError("energy: expected one beside carry, whose yields need it, got none")
