"""Pixels of detectors, by words in the names of their datasets."""

from __future__ import annotations

import re

#: Edge of a pixel, by the series of the detector, as their makers have it.
PIXELS = {"eiger": "75 um", "merlin": "55 um", "medipix": "55 um", "pilatus": "172 um"}


def pixel_of(name: str) -> str | None:
    """Return the edge of a pixel of the detector in a dataset's name, with its unit, or None."""
    found = re.search("|".join(PIXELS), name.lower())
    return None if found is None else PIXELS[found[0]]
