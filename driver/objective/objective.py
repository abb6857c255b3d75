"""The joint objective on one rank's tile: value, gradient, Hessian product, preconditioner, line losses.

unknowns (owned pixels) -> halo -> tile -> kernels over the rank's positions -> halo -> owned gradient.
The halo travels while positions are computed that do not touch it (`ptyxrf.parallel.exchange`).

Inside, amplitudes are divided by s = sqrt(mean count) and the probe with them, and the fluorescence of
each element by its root mean square, so that every field is of order 1 whatever the unit of the data.
Values, gradients and products come out in the units of the data.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.checks import is_finite_number, real_array, whole_number
from ptyxrf.driver.data.digest import digest_fluorescence, digest_patterns
from ptyxrf.driver.data.history import METHODS
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.files.wisdom_file import load_wisdom, prepare_plans
from ptyxrf.driver.objective.fluorescence_counts import FluorescenceData, load_fluorescence
from ptyxrf.driver.objective.links import LINKS, CartesianLink, LinearLink, Link
from ptyxrf.driver.objective.patterns import load_amplitudes
from ptyxrf.driver.objective.preconditioner import Preconditioner
from ptyxrf.driver.objective.weights import resolve_weights, statistical_weights
from ptyxrf.driver.reconstruction.compilation import warm_up
from ptyxrf.driver.solver.inverse_blocks import InverseBlocks
from ptyxrf.kernels.amplitude_residual import CURVATURES
from ptyxrf.kernels.diffraction import Diffraction
from ptyxrf.kernels.diffraction_kinds import diffraction_term
from ptyxrf.kernels.fftw.transforms import PatternFourier
from ptyxrf.kernels.fluorescence import Fluorescence
from ptyxrf.kernels.fluorescence_grid import GridFluorescence, padded, plan_blur
from ptyxrf.kernels.fluorescence_scan import ScanFluorescence
from ptyxrf.kernels.implementation import resolve_engine
from ptyxrf.kernels.patches import add_illumination, sum_object_intensity
from ptyxrf.kernels.probe_shift import PositionedProbe
from ptyxrf.kernels.reductions import dot, dots
from ptyxrf.parallel.exchange import Arrived, Complete, Exchange, Leaving, Positions
from ptyxrf.parallel.gather import gather_tiles
from ptyxrf.parallel.halo import HaloField
from ptyxrf.parallel.partition import Partition, Reach
from ptyxrf.parallel.rectangle import Rectangle, Window
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.startup import agreed, first_on_each_node, from_first_rank
from ptyxrf.parallel.tile import Tile, tile_of, whole_plane

PRECISIONS: dict[str, np.dtype[Any]] = {"double": np.dtype(np.float64), "single": np.dtype(np.float32)}
MEMORY = ("cached", "low")
#: Element maps larger than this, or smaller than its inverse, have squares beyond the numbers of a precision.
MOST_IN_MAPS = {PRECISIONS["double"]: 1e120, PRECISIONS["single"]: 1e15}


@dataclass
class Work:
    """What was computed so far: a gradient or a product is one sweep, a forward-only pass half of one."""

    gradients: int = 0
    products: int = 0
    forwards: int = 0

    @property
    def sweeps(self) -> float:
        """Sweeps over all positions."""
        return self.gradients + self.products + 0.5 * self.forwards


@dataclass(frozen=True)
class Losses:
    """The loss of each modality at the point last evaluated, in the units of the data (NaN: not there)."""

    ptychography: float
    fluorescence: float


def _choice(name: str, value: str, allowed: Collection[str]) -> str:
    if value not in allowed:
        raise ValueError(f"{name}: expected one of {', '.join(allowed)}, got {value!r}")
    return value


def blur_reach(scan: Scan, method: str, margin: int = 0) -> Reach:
    """Return how far a rank looks beyond its own pixels for the blur of maps on the grid.

    Parameters
    ----------
    scan : Scan
    method : {"joint", "ptychography", "fluorescence"}
    margin : int
        Further pixels around every patch.
    """
    if method == "ptychography" or scan.sampling != "grid":
        return Reach(margin=margin)
    # out[r] = sum_s k[s] w[r - s + m//2], with the sign of s the other way for a correlation
    ends = scan.m - 1 - scan.m // 2, scan.m // 2
    return Reach(*(ends[::-1] if scan.blur == "correlation" else ends), margin)


class Objective:
    """Phi = Phi_p + Phi_f of a scan, as a function of one real vector of unknowns.

    Parameters
    ----------
    scan : Scan
    method : {"joint", "ptychography", "fluorescence"}
        joint: unknowns x and w; ptychography: x and y; fluorescence: w, with alpha_e = 1.
    alpha : {"statistical", "gradnorm"} or float or (N_e,) array of float
        Weights of the fluorescence in the joint objective (see `ptyxrf.driver.objective.weights`).
    curvature : {"positive", "full", "gauss-newton"}
        Which Hessian `hessian_product` applies.
    precision : {"double", "single"}
        Of fields and vectors; sums and dot products are in double either way.
    refine_probe : bool
        Make the probe an unknown.
    start : mapping or None
        Starting values by the names of the unknowns, global arrays or numbers. Default: x = 1,
        y = link_offset (w = 0), the scan's probe.
    comm : communicator or None
        The ranks that share the work, each with a part of the object and of the positions; all of them
        make the same calls. None: one rank, without MPI.
    alpha_scale : float
        Factor of weights given by name.
    link : {"linear"} or Link
        How the elements make the object; joint and fluorescence only.
    link_offset : float
        Constant of the linear link, and the default start of y for ptychography.
    memory : {"cached", "low"}
        low: keep no far fields (12 bytes less per pattern pixel in single precision) and compute them
        again in each product.
    margin : int
        Pixels that the halo keeps around every patch beyond what it touches, for positions that may move.
    rescale_probe : bool
        Scale the scan's probe so that z = 1 explains the mean count, unless `start` has a probe. The unitary
        DFT keeps sums, so the pattern of z = 1 has a mean of sum |P|^2 / m^2.
    engine : {"auto", "vector", "library"}
        What transforms the patterns: our own vector code (m with no prime factor above 7), or a library for
        any size.

    Attributes
    ----------
    unknowns : tuple of str
        Keys of `scatter` and `gather`.
    initial : array
        The start as a vector.
    alpha : (N_e,) array of float64
        The weights in use.
    tile : Tile
        What this rank owns and covers.
    ranks : Ranks
        The communicator, with a count of what was sent.
    mean_count : float
        mean(d); Phi_p / mean_count is the loss with amplitudes divided by the root of the mean count.
    size, field_size : int
        Numbers of a vector, and of the fields that it begins with.
    channels : dict of str to slice
        Which of the fields of `fields_of` each unknown is.
    nonnegative : slice
        Where in a vector the elements stand, which a solver may bound below by 0.
    probe_is_frozen, maps_are_held : bool
        Whether the probe, or the elements, stay as they are at present: their part of gradients and products
        is 0.
    work : Work
        Counts of what was computed.
    data_checksums : dict of str to int
        Of the data of all ranks that were read, whatever their number (see `ptyxrf.driver.data.digest`).

    Raises
    ------
    ValueError
        An argument is wrong or the method's data are missing.

    Notes
    -----
    Formulas: arXiv 2511.02153, eq. (2.2) and section 3, in operator form. With psi_jk = F(P_jk z_j),
    q = psi/|psi| and c = b/|psi|: g_z = 1/N sum_j P_j^* F^* [M (psi - b q)], and the Hessian of a
    pattern takes dpsi to M [(1 - c) dpsi + c q Re(conj(q) dpsi)].
    """

    def __init__(
        self,
        scan: Scan,
        method: str = "joint",
        alpha: str | ArrayLike = "statistical",
        curvature: str = "positive",
        precision: str = "double",
        refine_probe: bool = False,
        start: Mapping[str, ArrayLike] | None = None,
        comm: Any = None,
        *,
        alpha_scale: float = 1.0,
        link: str | Link = "linear",
        link_offset: float = 0.0,
        memory: str = "cached",
        margin: int = 0,
        rescale_probe: bool = False,
        engine: str = "auto",
    ) -> None:
        if not isinstance(scan, Scan):
            raise ValueError(f"scan: expected a Scan (read_scan reads files), got {type(scan).__name__}")
        _choice("method", method, METHODS)
        _choice("curvature", curvature, CURVATURES)
        self.real = PRECISIONS[_choice("precision", precision, PRECISIONS)]
        self.complex = np.result_type(self.real, np.complex64)
        _choice("memory", memory, MEMORY)
        if not is_finite_number(link_offset):
            raise ValueError(f"link_offset: expected a finite number, got {link_offset!r}")
        margin = whole_number("margin", margin, 0)
        self.engine = resolve_engine(engine, scan.m)
        self.ranks = Ranks(comm)
        load_wisdom(self.ranks.comm)
        if self.ranks.size > 1:
            # on one rank kernels are compiled as they are met
            kind = (
                method,
                precision,
                curvature,
                bool(refine_probe),
                scan.sampling,
                bool(scan.fractions.any()),
                self.engine,
            )
            first_on_each_node(self.ranks.comm, lambda: warm_up(*kind))
        self.scan, self.method, self.curvature = scan, method, curvature
        self.data: FluorescenceData | None = None
        self.tile: Tile = self._make_tile(margin)
        self.data_checksums: dict[str, int] = {}
        net = np.zeros((0, 0))
        if method != "ptychography":
            if scan.fluorescence is not None:
                net, self.data = load_fluorescence(scan, self.tile, self.ranks)
                self.data_checksums["fluorescence"] = digest_fluorescence(scan, self.tile, self.ranks, net)
            if self.data is None or not self.data.measured.any():
                raise ValueError(
                    f"method: expected a scan with fluorescence data for {method!r}, got one without"
                )
        self.link = self._make_link(link, float(link_offset))
        self.link_offset = float(link_offset)
        self.refine_probe = bool(refine_probe)
        self.probe_is_frozen = self.maps_are_held = False
        self._preconditioned = False
        self._probe_now: NDArray[Any] | None = None
        self.work = Work()

        names = self.link.unknowns if method != "fluorescence" else ("elements",)
        self.unknowns: tuple[str, ...] = names + (("probe",) if refine_probe else ())
        self.channels: dict[str, slice] = {}
        channels = 0
        for name in names:
            width = scan.N_e if name == "elements" else 1
            self.channels[name] = slice(channels, channels + width)
            channels += width
        self._channel_count = channels
        self._pixels = self.tile.owned.size
        self.field_size = channels * self._pixels
        self.size = self.field_size + (2 * scan.probe.size if refine_probe else 0)
        where = self.channels.get("elements", slice(0, 0))
        self.nonnegative = slice(where.start * self._pixels, where.stop * self._pixels)

        start = {} if start is None else start
        self._initial_probe = self._starting_probe(start)
        self._load(net, memory == "cached")
        self.initial = self._start(start, rescale_probe)
        self._check_range()
        self._set_weights(alpha, alpha_scale)
        self.set_probe(self._unpack(self.initial)[1])  # what needs only the probe may be asked from now on
        self.preconditioner = Preconditioner(self)

    # ---------------------------------------------------------------- building

    def _make_tile(self, margin: int) -> Tile:
        """Return this rank's part of positions and pixels; the first rank makes the partition."""
        scan = self.scan
        if self.ranks.size == 1:
            return whole_plane(scan.shape, scan.N)
        reach = blur_reach(scan, self.method, margin)
        partition = from_first_rank(
            self.ranks.comm, lambda: Partition(scan.corners, scan.m, scan.shape, self.ranks.size, reach)
        )
        return tile_of(partition, self.ranks.rank, scan.corners)

    def _halo_field(self, channels: int, dtype: Any) -> HaloField:
        """Return fields for an exchange that is over before the next one of its kind; they are kept."""
        key = channels, np.dtype(dtype)
        if key not in self._scratch:
            self._scratch[key] = HaloField(self.ranks, self.tile, *key)
        return self._scratch[key]

    def _collected(self, covered: NDArray[Any]) -> NDArray[Any]:
        """Return the owned pixels of fields (C, rows, columns) on the covered ones, halos added."""
        field = self._halo_field(len(covered), covered.dtype)
        field.covered[...] = covered
        return field.collect()

    def _make_link(self, link: str | Link, offset: float) -> Link:
        if self.method == "ptychography":
            return CartesianLink()
        if isinstance(link, str):
            _choice("link", link, LINKS)
            return LinearLink(self.scan.attenuation, offset)
        if not isinstance(link, Link):
            raise ValueError(f"link: expected {', '.join(LINKS)} or a Link, got {type(link).__name__}")
        return link

    def _load(self, net: NDArray[np.float64], keep_far_fields: bool) -> None:
        """Read the data of this rank's positions and set up the terms of the objective."""
        scan, tile = self.scan, self.tile
        corners = scan.corners[tile.positions] - (tile.covered.row_start, tile.covered.column_start)
        exposure = scan.exposure[tile.positions]
        self.corners, self.exposure = np.ascontiguousarray(corners), exposure
        self._everything = tile.covered.within(tile.covered)
        self._scratch: dict[tuple[int, np.dtype[Any]], HaloField] = {}
        self._point, self._change, self._result = (
            HaloField(self.ranks, tile, self._channel_count, self.real) for _ in range(3)
        )
        self._z, self._change_z, self._product_z = (
            np.zeros(tile.covered.shape, self.complex) for _ in range(3)
        )
        # the gradient in z is needed later only where the link bends
        self._gradient_z = self._product_z if self.link.linear else np.zeros_like(self._z)
        # a probe that moves is another one at each point, and is used once there unless something else is
        # done with it
        keep = keep_far_fields or not self.refine_probe or scan.sampling == "scan"
        self.probe = PositionedProbe(
            scan.fractions[tile.positions], scan.K, scan.m, self.complex, self.engine, keep
        )
        # vector code needs no plans, and for fluorescence at whole pixels no pattern is transformed
        patterns = self.engine == "library" and (self.method != "fluorescence" or not self.probe.integer)
        fourier = PatternFourier(scan.K, scan.m, self.complex)
        prepare_plans(
            self.ranks.comm,
            "patterns" if patterns else None,
            lambda search: fourier.plan(-(-scan.N // self.ranks.size) if search else None),
        )
        self.diffraction: Diffraction | None = None
        if self.method == "fluorescence":
            self.mean_count = float((np.abs(self._initial_probe) ** 2).sum()) / scan.m**2
            self.integer_patterns = True
        else:
            amplitudes, total, pixels, whole = agreed(
                self.ranks.comm, lambda: load_amplitudes(scan, tile.positions, self.real)
            )
            self.data_checksums["patterns"] = digest_patterns(tile, self.ranks, amplitudes)
            local = np.array([total, pixels, not whole], dtype=np.float64)
            total, pixels, not_whole = self.ranks.sum(local)
            self.integer_patterns = bool(not_whole == 0)
            self.mean_count = float(total / pixels) if total > 0 else 1.0
            masked = amplitudes < 0
            amplitudes *= self.real.type(1 / np.sqrt(self.mean_count))
            amplitudes[masked] = -1
            self.diffraction = diffraction_term(
                amplitudes, corners, exposure, self.probe, self.curvature, keep_far_fields
            )
        self._unit = np.sqrt(self.mean_count)
        self.fluorescence: Fluorescence | None = None
        if self.data is not None:
            self.fluorescence = self._fluorescence_term(net, self.data)

    def _fluorescence_term(self, net: NDArray[np.float64], counts: FluorescenceData) -> Fluorescence:
        """Return the fluorescence term in internal units, with alpha_e = 1 where there are data."""
        scan, tile = self.scan, self.tile
        size = np.sqrt(counts.mean_square)
        size = np.where(size > 0, size, 1.0)
        gains = scan.sensitivity * self.mean_count / size
        data = np.ascontiguousarray(net / size.reshape(-1, *([1] * (net.ndim - 1))), dtype=self.real)
        self._fluorescence_size = size
        self.alpha = np.where(counts.measured, 1.0, 0.0)
        weights = self._internal_weights()
        full = self.curvature == "full"
        if scan.sampling == "grid":
            rows, columns = tile.inner
            window = ((rows.start, rows.stop), (columns.start, columns.stop))
            shape, active = tile.covered.shape, int(counts.measured.sum())
            prepare_plans(
                self.ranks.comm,
                padded(shape, scan.m),
                lambda search: plan_blur(shape, scan.m, self.real, active if search else None),
            )
            return GridFluorescence(
                data, gains, weights, self.probe, full, tile.covered.shape, window, scan.blur == "correlation"
            )
        return ScanFluorescence(data, gains, weights, self.probe, full, self.corners, self.exposure)

    def _internal_weights(self) -> NDArray[np.float64]:
        return self.alpha * self._fluorescence_size**2 / (self.scan.N_e * self.mean_count)

    def _set_weights(self, alpha: str | ArrayLike, alpha_scale: float) -> None:
        scan, data = self.scan, self.data
        if self.fluorescence is None or data is None:
            self.alpha = np.zeros(scan.N_e)
        elif self.method == "joint":
            self.alpha = resolve_weights(
                alpha,
                alpha_scale,
                data.measured,
                lambda: statistical_weights(scan, data, self.mean_count, self.integer_patterns),
                self._gradient_ratio,
            )
            self.fluorescence.set_weights(self._internal_weights())

    def scale_weights(self) -> float:
        """Multiply the weights so that the fluorescence alone has a loss of order 1; return the factor.

        Its loss is in squared counts and goes, with its gradient, where single precision has no squares left.
        The factor is a power of two, and changes no digit of what is found.
        """
        if self.method != "fluorescence" or self.fluorescence is None or self.data is None:
            return 1.0
        squares = float((self.alpha * self.data.mean_square).sum()) * np.prod(
            self.scan.fluorescence.shape[1:]
        )
        factor = 2.0 ** -round(np.log2(squares)) if squares > 0 else 1.0
        self.alpha = self.alpha * factor
        self.fluorescence.set_weights(self._internal_weights())
        return factor

    def _gradient_ratio(self) -> float:
        """Return ||grad_z Phi_p(z0)|| / ||grad_w Phi_f(w0)|| (arXiv 2511.02153, section 2.3)."""
        if self.diffraction is None or self.fluorescence is None:
            raise ValueError("alpha: 'gradnorm' needs both modalities")
        fields, probe = self._unpack(self.initial)
        self.set_probe(probe)
        covered = self._point.fill(fields)
        gradient = np.zeros(self.tile.covered.shape, self.complex)
        self.link.forward(covered, Window.same(self._everything), self._z)
        for first, last in self.probe.batches():
            self.diffraction.gradient(self._z, gradient, first, last, False)
        maps = np.zeros_like(covered[self.channels["elements"]])
        self.fluorescence.gradient(np.ascontiguousarray(covered[self.channels["elements"]]), maps, False)
        squares = []
        for values in (gradient[None], maps):
            flat = np.ascontiguousarray(self._collected(values)).view(self.real)
            squares.append(dot(flat, flat))
        first, second = np.sqrt(self.ranks.sum(np.array(squares)))
        return float(first / (self.scan.N * second)) if second > 0 else 1.0

    def _starting_probe(self, start: Mapping[str, ArrayLike]) -> NDArray[np.complex128]:
        """Return the probe of the start, in the units of the data, before it is scaled; check the names."""
        if not isinstance(start, Mapping):
            raise ValueError(f"start: expected a mapping of names to values, got {type(start).__name__}")
        allowed = (*CartesianLink.unknowns, "elements", "probe")
        for name in start:
            if name not in allowed:
                raise ValueError(f"start: expected names among {', '.join(allowed)}, got {name!r}")
        try:
            probe = np.array(start.get("probe", self.scan.probe), dtype=np.complex128)
        except (TypeError, ValueError):
            raise ValueError("start: expected a probe of complex numbers, got something else") from None
        if probe.shape != self.scan.probe.shape:
            raise ValueError(f"start: expected a probe of shape {self.scan.probe.shape}, got {probe.shape}")
        if not np.isfinite(probe).all():
            raise ValueError("start: expected a finite probe, got NaN or infinity")
        if not probe.any():
            raise ValueError("start: expected a probe with some intensity, got zeros only")
        return probe

    def _start(self, start: Mapping[str, ArrayLike], rescale_probe: bool) -> NDArray[Any]:
        if rescale_probe and self.method != "fluorescence" and "probe" not in start:
            light = (np.abs(self._initial_probe) ** 2).sum()
            self._initial_probe *= np.sqrt(self.mean_count * self.scan.m**2 / light)
        defaults: dict[str, ArrayLike] = {
            "real_part": 1.0,
            "imaginary_part": self.link_offset,
            "elements": 0.0,
            "probe": self._initial_probe,
        }
        self._initial_real_part = self._own(self._field_values("real_part", start.get("real_part", 1.0)))
        return self.scatter(**{name: start.get(name, defaults[name]) for name in self.unknowns})

    def _check_range(self) -> None:
        """Refuse maps whose squares are no numbers in this precision, before they become infinite."""
        if self.data is None:
            return
        light = float((np.abs(self._initial_probe) ** 2).sum())
        if self.scan.sampling == "scan":
            light *= float(self.scan.exposure.mean())
        counts = np.sqrt(self.data.mean_square)
        most = MOST_IN_MAPS[self.real]
        for e in np.flatnonzero(counts > 0):
            size = float(counts[e] / (self.scan.sensitivity[e] * light))
            if not 1 / most < size < most:
                raise ValueError(
                    f"fluorescence: expected counts that sensitivity and probe explain by maps between "
                    f"{1 / most:g} and {most:g} (precision {self.real}), got a map of about {size:.3g} for "
                    f"element {e}: {counts[e]:.3g} counts, sensitivity {self.scan.sensitivity[e]:.3g}, "
                    f"sum |P|^2 {light:.3g}"
                )

    # ---------------------------------------------------------------- vectors

    def scatter(self, **arrays: ArrayLike) -> NDArray[Any]:
        """Make this rank's vector of unknowns from global arrays, the same on every rank.

        Parameters
        ----------
        **arrays
            Every unknown by name: ``real_part`` and ``imaginary_part`` (n_rows, n_cols), ``elements``
            (N_e, n_rows, n_cols), ``probe`` (K, m, m) complex. A number fills an array.

        Returns
        -------
        (size,) array of float32 or float64
            Owned pixels field by field, then the probe as (re, im) pairs.

        Raises
        ------
        ValueError
            An unknown is missing or unexpected, or an array has a wrong shape or is not finite.
        """
        if set(arrays) != set(self.unknowns):
            raise ValueError(
                f"scatter: expected {', '.join(self.unknowns)}, got {', '.join(arrays) or 'nothing'}"
            )
        vector = np.empty(self.size, self.real)
        fields = self.fields_of(vector)
        for name, where in self.channels.items():
            fields[where] = self._own(self._field_values(name, arrays[name]))
        if self.refine_probe:
            probe = np.asarray(arrays["probe"])
            if probe.shape != self.scan.probe.shape:
                raise ValueError(f"probe: expected shape {self.scan.probe.shape}, got {probe.shape}")
            if not np.isfinite(probe).all():
                raise ValueError("probe: expected finite numbers, got NaN or infinity")
            self.probe_part(vector)[...] = probe
        return vector

    def _own(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return this rank's part of a global field, or the number that fills it."""
        return values[(..., *self.tile.owned.slices)] if values.shape else values

    def _field_values(self, name: str, value: ArrayLike) -> NDArray[np.float64]:
        """Return a global field (or a number that fills it), checked."""
        shape = (self.scan.N_e, *self.scan.shape) if name == "elements" else self.scan.shape
        values = real_array(name, value)
        if values.shape not in ((), shape):
            raise ValueError(f"{name}: expected shape {shape} or a number, got {values.shape}")
        if not (np.abs(values) <= np.finfo(self.real).max).all():  # NaN compares false
            raise ValueError(
                f"{name}: expected finite numbers, got NaN or infinity (or too large for {self.real})"
            )
        return values

    def gather(self, vector: NDArray) -> dict[str, NDArray[Any]]:
        """Return the unknowns of a vector as global arrays on every rank, the inverse of `scatter`.

        All ranks take part. This is the one place where a rank holds the whole object.
        """
        fields, probe = self._unpack(self._checked(vector))
        whole = gather_tiles(self.ranks.comm, self.tile, fields)
        arrays: dict[str, NDArray[Any]] = {}
        for name, where in self.channels.items():
            arrays[name] = whole[where] if name == "elements" else whole[where][0]
        if self.refine_probe:
            arrays["probe"] = probe.copy()
        return arrays

    def _checked(self, vector: NDArray) -> NDArray[Any]:
        array = np.asarray(vector)
        if array.shape != (self.size,):
            raise ValueError(f"vector: expected shape ({self.size},), got {array.shape}")
        return np.ascontiguousarray(array, dtype=self.real)

    def fields_of(self, vector: NDArray) -> NDArray[Any]:
        """Return the owned fields of a vector (also one of bool) as a (C, rows, columns) view."""
        return vector[: self.field_size].reshape(self._channel_count, *self.tile.owned.shape)

    def probe_part(self, vector: NDArray) -> NDArray[Any]:
        """Return the probe in a vector as a complex (K, m, m) view, in the units of the data."""
        return vector[self.field_size :].view(self.complex).reshape(self.scan.probe.shape)

    def _unpack(self, vector: NDArray) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the owned fields (C, rows, columns) and the probe of a vector."""
        fields = self.fields_of(vector)
        probe = self.probe_part(vector) if self.refine_probe else self._initial_probe
        return fields, probe

    @property
    def with_probe(self) -> bool:
        """Whether the probe moves at present."""
        return self.refine_probe and not self.probe_is_frozen

    @property
    def present_probe(self) -> NDArray[Any]:
        """The (K, m, m) probe of the point last evaluated, in the units of the data."""
        return self._initial_probe if self._probe_now is None else self._probe_now

    def set_probe(self, probe: NDArray) -> None:
        """Take a probe; one that it has already costs nothing (no new shifts).

        Parameters
        ----------
        probe : (K, m, m) complex array
            In the units of the data.
        """
        if self._probe_now is not None and np.array_equal(self._probe_now, probe):
            return
        self._probe_now = probe.copy()
        normalised = (probe / self._unit).astype(self.complex)
        self.probe.set(normalised)
        if self.fluorescence is not None:
            self.fluorescence.set_probe(normalised)

    # ---------------------------------------------------------------- value, gradient, product

    def value_and_gradient(self, vector: NDArray) -> tuple[float, NDArray[Any]]:
        """Evaluate the objective and its gradient, and remember the point for products.

        Parameters
        ----------
        vector : (size,) array

        Returns
        -------
        value : float
        gradient : (size,) array
            The part of the probe is d/dRe + i d/dIm as (re, im) pairs.
        """
        fields, probe = self._unpack(self._checked(vector))
        self._preconditioned = False
        self.set_probe(probe)
        # the point stays in its halo field: the caller may change the vector, products refer to this point
        point, out = self._point, self._result
        moved = self.with_probe
        self._clear(self._gradient_z)
        losses = np.zeros(2)
        self._begin_probe_sum(moved)
        for event in Exchange(fields, point, out, self.probe.batch):
            match event:
                case Arrived(part, at) if self.diffraction is not None:
                    self.link.forward(part, at, self._z)
                case Positions(first, last) if self.diffraction is not None:
                    self.diffraction.gradient(self._z, self._gradient_z, first, last, moved)
                case Complete() if self.fluorescence is not None:
                    losses[1] = self.fluorescence.gradient(self._maps(point), self._maps(out), moved)
                case Leaving(at) if self.diffraction is not None:
                    self._add_to_fields(point.covered, point, self._gradient_z, at)
        if self.diffraction is not None:
            losses[0] = float(self.diffraction.pattern_losses.sum()) / self.scan.N
        probe_sum = self._end_probe_sum(moved)
        if moved and self.fluorescence is not None:
            probe_sum += self.fluorescence.probe_gradient()
        gradient = self._finish(fields, point, out, self._gradient_z, probe_sum)
        self.work.gradients += 1
        if moved:
            # the shares of the ranks in the gradient of the probe travel with the losses
            cut = self.field_size
            shares = self.ranks.sum(np.concatenate([gradient[cut:].astype(np.float64), losses]))
            gradient[cut:], losses = shares[:-2], shares[-2:]
        else:
            losses = self.ranks.sum(losses)
        losses = losses * self.mean_count
        self.losses = Losses(
            float(losses[0]) if self.diffraction is not None else np.nan,
            float(losses[1]) if self.fluorescence is not None else np.nan,
        )
        return float(losses.sum()), gradient

    def _maps(self, field: HaloField) -> NDArray[Any]:
        """Return the element maps on the covered pixels."""
        return field.covered[self.channels["elements"]]

    def _clear(self, result: NDArray[Any]) -> None:
        """Make room for a gradient or a product."""
        result[...] = 0
        if self.fluorescence is not None:  # which adds its part; without it everything is set
            self._result.covered[...] = 0

    def _begin_probe_sum(self, moved: bool) -> None:
        if moved and self.diffraction is not None:
            self.probe.adjoint_start()

    def _end_probe_sum(self, moved: bool) -> NDArray[Any]:
        """Return what the patterns add to the gradient, or the product, in the probe."""
        total = np.zeros(self.scan.probe.shape, self.complex)
        if moved and self.diffraction is not None:
            total += self.probe.adjoint_finish() / self.real.type(self.scan.N)
        return total

    def _add_to_fields(
        self, change: NDArray[Any], incoming: HaloField, result: NDArray[Any], at: Window
    ) -> None:
        """Take what the positions left in a part of the halo into the outgoing fields."""
        add = self.fluorescence is not None  # which has set them; without it they are not cleared
        self._to_fields(change, incoming, result, at, 1.0, self._result.covered, add=add)

    def _to_fields(
        self,
        change: NDArray[Any],
        incoming: HaloField,
        result: NDArray[Any],
        at: Window,
        scale: float,
        out: NDArray[Any],
        *,
        add: bool,
    ) -> None:
        """Set or add what the positions left in some pixels to fields."""
        point, scale = self._point.covered, scale / self.scan.N
        self.link.adjoint(point, result, at, scale, out, add=add)
        if incoming is self._change and not self.link.linear:
            self.link.bend(point, change, self._gradient_z, at, scale, out)

    def _finish(
        self,
        fields: NDArray[Any],
        incoming: HaloField,
        out: HaloField,
        result: NDArray[Any],
        probe_sum: NDArray[Any],
    ) -> NDArray[Any]:
        """Return a gradient or a product as a vector in the units of the data."""
        vector = np.empty(self.size, self.real)
        owned, unit = self.fields_of(vector), self.mean_count
        if self.diffraction is not None:
            self._to_fields(fields, incoming, result, self.tile.owned_window, unit, owned, add=False)
        else:
            owned[...] = 0
        if self.fluorescence is not None:
            where = self.channels["elements"]
            owned[where] += self.real.type(unit) * self.tile.owned_part(out.covered)[where]
        out.finish_collect(owned, unit)
        if self.maps_are_held:
            owned[self.channels["elements"]] = 0
        if self.refine_probe:  # 0 while it is held
            self.probe_part(vector)[...] = probe_sum * self._unit
        return vector

    @property
    def _keep_change(self) -> bool:
        """Whether anything but z is made of a change of the fields."""
        return self.fluorescence is not None or not self.link.linear

    def _local_product(self, direction: NDArray) -> NDArray[Any]:
        """Return the Hessian product with this rank's share of the probe part."""
        fields, probe_change = self._unpack(direction)
        point, change, out = self._point, self._change, self._result
        exchange = Exchange(fields, change, out, self.probe.batch, keep=self._keep_change)
        moved = self.with_probe
        if moved:
            self._set_direction(probe_change)
        self._clear(self._product_z)
        self._begin_probe_sum(moved)
        for event in exchange:
            match event:
                case Arrived(part, at) if self.diffraction is not None:
                    self.link.derivative(point.covered, part, at, self._change_z)
                case Positions(first, last) if self.diffraction is not None:
                    self.diffraction.product(self._change_z, self._product_z, first, last, moved)
                case Complete() if self.fluorescence is not None:
                    self.fluorescence.product(self._maps(change), self._maps(out), moved)
                case Leaving(at) if self.diffraction is not None:
                    self._add_to_fields(change.covered, change, self._product_z, at)
        probe_sum = self._end_probe_sum(moved)
        if moved and self.fluorescence is not None:
            probe_sum += self.fluorescence.probe_product()
        self.work.products += 1
        return self._finish(fields, change, out, self._product_z, probe_sum)

    def _set_direction(self, probe_change: NDArray) -> None:
        normalised = (probe_change / self._unit).astype(self.complex)
        self.probe.set_direction(normalised)
        if self.fluorescence is not None:
            self.fluorescence.set_direction(normalised)

    def hessian_product(self, direction: NDArray) -> NDArray[Any]:
        """Apply the Hessian at the point last evaluated.

        Parameters
        ----------
        direction : (size,) array

        Returns
        -------
        (size,) array
        """
        return self.product_with_dots(self._checked(direction), None)[0]

    def product_with_dots(
        self, direction: NDArray, residual: NDArray | None
    ) -> tuple[NDArray[Any], tuple[float, float, float]]:
        """Return H direction and (residual . direction, product . direction, residual . residual).

        The dot products and the probe part of the product, which each rank holds a share of, travel in one
        reduction: product . direction is linear in the shares, so their sum is the dot with the whole.
        """
        product = self._local_product(direction)
        residual = product if residual is None else residual
        cut = self.field_size
        local = np.array(dots(direction[:cut], product[:cut], residual[:cut]))
        if not self.with_probe:
            return product, tuple(self.ranks.sum(local))
        share = np.concatenate([product[cut:].astype(np.float64), local])
        share = self.ranks.sum(share)
        product[cut:] = share[:-3]
        tail = np.array(dots(direction[cut:], product[cut:], residual[cut:]))
        return product, tuple(share[-3:] + tail)

    # ---------------------------------------------------------------- what the solver asks for besides

    def dot(self, left: NDArray, right: NDArray) -> float:
        """Return the dot product of two vectors over all ranks; the replicated probe counts once."""
        cut = self.field_size
        local = np.array([dot(left[:cut], right[:cut])])
        return float(self.ranks.sum(local)[0]) + dot(left[cut:], right[cut:])

    def precondition(self, residual: NDArray, free: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """Return M^-1 residual at the point last evaluated, within the free variables."""
        self.inverse_blocks()
        return self.preconditioner.apply(residual, free)

    def inverse_blocks(self) -> list[InverseBlocks]:
        """Return M^-1 at the point last evaluated, of the fields and of the probe where it is an unknown."""
        if not self._preconditioned:
            self.preconditioner.update()
            self._preconditioned = True
        return self.preconditioner.blocks

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums of some numbers over all ranks, in one reduction."""
        return self.ranks.sum(values)

    def any(self, *flags: bool) -> bool:
        """Return whether a flag is set on some rank, so that all ranks decide alike."""
        return self.ranks.any(*flags)

    def smallest(self, value: float) -> float:
        """Return the smallest value over the ranks."""
        return -float(self.ranks.largest(-value)[0])

    def losses_along(self, direction: NDArray, steps: ArrayLike) -> NDArray[np.float64]:
        """Return the objective at the point last evaluated plus t * direction, for each t in `steps`.

        One forward-only pass for all of them; nothing is stored. Exact for links that are linear.

        Parameters
        ----------
        direction : (size,) array
        steps : (S,) array of float

        Returns
        -------
        (S,) array of float64
        """
        steps = np.asarray(steps, dtype=np.float64)
        fields, probe_change = self._unpack(self._checked(direction))
        point, change = self._point, self._change
        exchange = Exchange(fields, change, None, self.probe.batch, keep=self._keep_change)
        moved = self.with_probe
        if moved:
            self._set_direction(probe_change)
        patterns, maps = np.zeros((2, len(steps)))
        for event in exchange:
            match event:
                case Arrived(part, at) if self.diffraction is not None:
                    self.link.derivative(point.covered, part, at, self._change_z)
                case Positions(first, last) if self.diffraction is not None:
                    self.diffraction.losses_along(self._change_z, steps, patterns, first, last, moved)
                case Complete() if self.fluorescence is not None:
                    maps += self.fluorescence.losses_along(self._maps(change), steps, moved)
        losses = maps + patterns / self.scan.N
        # with a moving probe there are two transforms for each pattern instead of one
        self.work.forwards += 2 if moved and self.diffraction is not None else 1
        return self.ranks.sum(losses) * self.mean_count

    # ---------------------------------------------------------------- sums that the preconditioner needs

    def illumination(self) -> NDArray[np.float64]:
        """Return 1/N sum_j t_j |P_j|^2 on the owned pixels, in the units of the data.

        Where the probe of each position is not kept, it is taken at the position's whole pixel.
        """
        total = np.zeros((1, *self.tile.covered.shape), self.real)
        versions, which = self.probe.stack, self.probe.which
        if not self.probe.kept:
            # shifts would take a third of a gradient, for a fraction of a pixel
            versions, which = self.probe.unshifted[None], np.zeros_like(which)
        add_illumination(versions, which, self.corners, self.exposure.astype(self.real), 1, total[0])
        return self._collected(total)[0].astype(np.float64) * (self.mean_count / self.scan.N)

    def fluorescence_diagonal(self) -> NDArray[np.float64]:
        """Return A^T A 1 with gains and weights, (N_e, rows, columns) on the owned pixels."""
        if self.fluorescence is None:
            return np.zeros((self.scan.N_e, *self.tile.owned.shape))
        flat = self.fluorescence.diagonal(self.tile.covered.shape)
        factors = self.fluorescence.weights * self.fluorescence.gains**2 * self.mean_count
        return factors[:, None, None] * self._collected(flat[None])

    def fluorescence_curvature_of_probe(self) -> float:
        """Return the curvature of the fluorescence along the probe itself, at maps that explain the data.

        The counts D_e are quadratic in the probe: those of (1 + t) P are (1 + t)^2 D_e. The curvature in t is
        4 sum_e alpha_e / N_e ||D_e - B_e||^2, for a change of the probe whose square is sum |P|^2.
        """
        if self.data is None:
            return 1.0
        samples = np.prod(self.scan.fluorescence.shape[1:])
        squares = float((self.alpha * self.data.mean_square).sum()) * samples
        curvature = 4 * squares / (self.scan.N_e * float((np.abs(self.present_probe) ** 2).sum()))
        return curvature if curvature > 0 else 1.0

    def object_intensity(self) -> NDArray[np.float64]:
        """Return 1/N sum_j t_j |z_j|^2, the (m, m) diagonal curvature of the probe."""
        total = np.zeros((self.scan.m, self.scan.m), self.real)
        if self.diffraction is not None:
            sum_object_intensity(self._z, self.corners, self.exposure.astype(self.real), total)
        return self.ranks.sum(total.astype(np.float64)) / self.scan.N

    # ---------------------------------------------------------------- what a user sees

    def complex_object(self, vector: NDArray) -> NDArray[Any]:
        """Return the object z of a vector on the owned pixels (all of them on one rank)."""
        fields, _ = self._unpack(self._checked(vector))
        if self.method == "fluorescence":
            real = np.broadcast_to(np.asarray(self._initial_real_part, self.real), self.tile.owned.shape)
            fields = np.concatenate([real[None], fields])
        z = np.empty(self.tile.owned.shape, self.complex)
        self.link.forward(
            np.ascontiguousarray(fields), Window.same(Rectangle(0, z.shape[0], 0, z.shape[1])), z
        )
        return z

    def elements_of(self, vector: NDArray) -> NDArray[Any]:
        """Return the (N_e, rows, columns) element maps of a vector on the owned pixels; N_e = 0 without."""
        fields, _ = self._unpack(self._checked(vector))
        return fields[self.channels.get("elements", slice(0, 0))]

    def probe_of(self, vector: NDArray) -> NDArray[Any]:
        """Return the (K, m, m) probe of a vector."""
        return np.array(self._unpack(self._checked(vector))[1])

    def predicted_fluorescence(self, vector: NDArray) -> NDArray[np.float64] | None:
        """Return A_e w_e + B_e as the scan records it, or None without fluorescence.

        On the owned pixels, or at this rank's positions in the order of ``tile.positions``.
        """
        if self.fluorescence is None:
            return None
        fields, probe = self._unpack(self._checked(vector))
        self.set_probe(probe)
        maps = self._change.fill(fields)[self.channels["elements"]]
        blurred = self.fluorescence.blur(maps).astype(np.float64)
        extra = [1] * (blurred.ndim - 1)
        return blurred * self._fluorescence_size.reshape(-1, *extra) + self.scan.background.reshape(
            -1, *extra
        )

    def pattern_misfit(self) -> NDArray[np.float64] | None:
        """Return the losses of this rank's patterns at the point last evaluated, or None without patterns."""
        return None if self.diffraction is None else self.diffraction.pattern_losses * self.mean_count
