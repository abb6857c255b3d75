"""The part of a scan that a rank reads: its tile, its patterns and its fluorescence."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ptyxrf.driver.data.digest import digest_fluorescence, digest_patterns
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.objective.fluorescence_counts import FluorescenceData, load_fluorescence
from ptyxrf.driver.objective.patterns import Amplitudes, load_amplitudes, normalise
from ptyxrf.parallel.partition import Partition, Reach
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.startup import agreed, from_first_rank
from ptyxrf.parallel.tile import Tile, tile_of, whole_plane


def blur_reach(scan: Scan, method: str, margin: int = 0) -> Reach:
    """Return how far beyond its own pixels a rank needs pixels of the maps.

    The blur of maps on the grid needs them, and the prior of the maps needs the next ones.

    Parameters
    ----------
    scan : Scan
    method : {"joint", "ptychography", "fluorescence"}
    margin : int
        Further pixels around every patch.
    """
    if method == "ptychography" or scan.sampling is None:
        return Reach(margin=margin)
    if scan.sampling == "scan":
        return Reach(1, 1, margin)
    # out[r] = sum_s k[s] w[r - s + m//2], with the sign of s reversed for a correlation
    ends = scan.m - 1 - scan.m // 2, scan.m // 2
    before, after = ends[::-1] if scan.blur == "correlation" else ends
    return Reach(max(before, 1), max(after, 1), margin)


def make_tile(scan: Scan, method: str, margin: int, ranks: Ranks) -> Tile:
    """Return a rank's part of positions and pixels; the first rank makes the partition."""
    if ranks.size == 1:
        return whole_plane(scan.shape, scan.N)
    reach = blur_reach(scan, method, margin)
    partition = from_first_rank(
        ranks.comm, lambda: Partition(scan.corners, scan.m, scan.shape, ranks.size, reach)
    )
    return tile_of(partition, ranks.rank, scan.corners)


@dataclass(frozen=True)
class Patterns:
    """The patterns of a rank, and their sums over all ranks.

    Attributes
    ----------
    amplitudes : (n, m, m) array or KeptCounts
        b_j of ``tile.positions`` over the root of the mean count, zero frequency at [0, 0]; -1 under the
        mask.
    mean_count : float
        mean(d) over the good pixels of all patterns.
    whole : bool
        Whether all good intensities are whole numbers.
    """

    amplitudes: Amplitudes
    mean_count: float
    whole: bool


@dataclass(frozen=True)
class MeanPattern:
    """The mean of all patterns of all ranks.

    Attributes
    ----------
    counts : (m, m) array of float64
        Over the patterns in which a pixel is good, in detector order; 0 where it is good in none.
    squares : (m, m) array of float64
        The same of the squared counts.
    good : (m, m) array of float64
        Fraction of the patterns in which it is.
    """

    counts: NDArray[np.float64]
    squares: NDArray[np.float64]
    good: NDArray[np.float64]


@dataclass(frozen=True)
class LocalData:
    """A rank's part of a scan.

    Attributes
    ----------
    scan : Scan
    ranks : Ranks
    tile : Tile
    corners : (n, 2) array of int64
        Patch corners of ``tile.positions`` on the covered pixels.
    exposure : (n,) array of float64
    patterns : Patterns or None
        None where the method has none.
    net : array or None
        D_e - B_e: (N_e, rows, columns) on the owned pixels, or (N_e, n) at the rank's positions.
    counts : FluorescenceData or None
        Sums of the fluorescence over all ranks.
    checksums : dict of str to int
        Of the data of all ranks that were read, whatever their number (see `ptyxrf.driver.data.digest`).
    """

    scan: Scan
    ranks: Ranks
    tile: Tile
    corners: NDArray[np.int64]
    exposure: NDArray[np.float64]
    patterns: Patterns | None = None
    net: NDArray[np.float64] | None = None
    counts: FluorescenceData | None = None
    checksums: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        scan: Scan,
        method: str,
        dtype: Any,
        margin: int,
        ranks: Ranks,
        *,
        patterns: bool = True,
        memory: str = "cached",
    ) -> LocalData:
        """Read what a method needs; all ranks take part.

        Parameters
        ----------
        scan : Scan
        method : {"joint", "ptychography", "fluorescence"}
        dtype : float32 or float64
            Of the amplitudes.
        margin : int
            Pixels of the halo beyond what the patches and the blur touch.
        ranks : Ranks
        patterns : bool
            Whether to read patterns where the method has some.
        memory : {"cached", "low", "disk"}
            How patterns are kept, see `load_amplitudes`.

        Raises
        ------
        ValueError
            The method's data are missing or not finite.
        """
        tile = make_tile(scan, method, margin, ranks)
        corners = scan.corners[tile.positions] - (tile.covered.row_start, tile.covered.column_start)
        data = cls(scan, ranks, tile, np.ascontiguousarray(corners), scan.exposure[tile.positions])
        if method != "ptychography":
            data = data._with_fluorescence(method)
        return data._with_patterns(dtype, memory) if patterns and method != "fluorescence" else data

    def _with_fluorescence(self, method: str) -> LocalData:
        scan, tile, ranks = self.scan, self.tile, self.ranks
        net = counts = None
        checksums = dict(self.checksums)
        if scan.fluorescence is not None:
            net, counts = load_fluorescence(scan, tile, ranks)
            checksums["fluorescence"] = digest_fluorescence(scan, tile, ranks, net)
        if counts is None or not counts.measured.any():
            raise ValueError(
                f"method: expected a scan with fluorescence data for {method!r}, got one without"
            )
        return replace(self, net=net, counts=counts, checksums=checksums)

    def _with_patterns(self, dtype: Any, memory: str) -> LocalData:
        scan, tile, ranks = self.scan, self.tile, self.ranks
        amplitudes, total, pixels, whole = agreed(
            ranks.comm, lambda: load_amplitudes(scan, tile.positions, dtype, memory)
        )
        checksums = self.checksums | {"patterns": digest_patterns(tile, ranks, amplitudes)}
        total, pixels, fractional = ranks.sum(np.array([total, pixels, not whole], dtype=np.float64))
        mean_count = float(total / pixels) if total > 0 else 1.0
        normalise(amplitudes, mean_count)
        return replace(
            self, patterns=Patterns(amplitudes, mean_count, bool(fractional == 0)), checksums=checksums
        )

    def mean_pattern(self) -> MeanPattern:
        """Return the mean of all patterns, before a term takes the amplitudes over; all ranks take part."""
        assert self.patterns is not None
        sums = np.zeros((3, self.scan.m, self.scan.m))
        for amplitudes in self.patterns.amplitudes:
            good = amplitudes >= 0
            counts = np.where(good, amplitudes.astype(np.float64) ** 2, 0.0)
            sums += counts, counts**2, good
        total, squares, times = self.ranks.sum(np.fft.fftshift(sums, axes=(1, 2)))
        unit, most = self.patterns.mean_count, np.maximum(times, 1)
        return MeanPattern(total / most * unit, squares / most * unit**2, times / self.scan.N)
