"""The joint objective of a scan as a function of one real vector of unknowns, on one rank's tile.

Unknowns (owned pixels) -> halo -> tile -> kernels over the rank's positions -> halo -> owned gradient:
`Passes` has the loops; this file applies them to vectors. Inside, everything is in `InternalUnits`;
values, gradients and products come out in the units of the data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.history import Losses, Work
from ptyxrf.driver.data.scan import Scan
from ptyxrf.driver.data.setting import describes_settings, takes_settings
from ptyxrf.driver.objective.assembly import assemble
from ptyxrf.driver.objective.fluorescence_weights import FluorescenceWeights
from ptyxrf.driver.objective.link_choice import make_link, with_link
from ptyxrf.driver.objective.local_data import LocalData
from ptyxrf.driver.objective.passes import BeamGradient, Free
from ptyxrf.driver.objective.point import Point
from ptyxrf.driver.objective.preconditioner import Preconditioner
from ptyxrf.driver.objective.same_problem import require_same_problem
from ptyxrf.driver.objective.settings import Model
from ptyxrf.driver.objective.start import check_range, starting_probe, starting_values
from ptyxrf.driver.objective.weights import alpha_of, strengths_of
from ptyxrf.driver.solver.inverse_blocks import InverseBlocks
from ptyxrf.parallel.reduction import Ranks
from ptyxrf.parallel.startup import agreed

#: Settings that may be given by position.
ORDER = ("method", "alpha", "curvature", "precision", "refine_probe", "start", "comm")

DTYPES: dict[str, np.dtype[Any]] = {"double": np.dtype(np.float64), "single": np.dtype(np.float32)}


def _checked(scan: Scan, settings: Model, start: Mapping[str, ArrayLike]) -> Model:
    """Return the settings with a link; refuse wrong arguments before anything is read."""
    if not isinstance(scan, Scan):
        raise ValueError(f"scan: expected a Scan (read_scan reads files), got {type(scan).__name__}")
    starting_probe(scan, start, None)
    return with_link(settings, scan)


@describes_settings(Model)
class Objective:
    """Phi = Phi_p + Phi_f + Phi_w of a scan, as a function of one real vector of unknowns.

    Parameters
    ----------
    scan : Scan
    {settings}
    start : mapping or None
        Starting values by the names of the unknowns, global arrays or numbers. Default: x = 1, y =
        link_offset (w = 0), the scan's probe.
    comm : communicator or None
        The ranks that share the work, each with a part of the object and of the positions; all of them make
        the same calls. None: one rank, without MPI.
    data : LocalData, optional
        What has been read of the scan already.

    Attributes
    ----------
    unknowns : tuple of str
        Keys of `scatter` and `gather`.
    initial : array
        The start as a vector.
    weights : FluorescenceWeights
        Of elements and samples, and the strengths of the prior of the maps.
    tile : Tile
        What this rank owns and covers.
    ranks : Ranks
        The communicator, with a count of what was sent.
    beam : Beam
        What a vector says of probe, positions and intensities.
    mean_count : float
        mean(d); Phi_p / mean_count is the loss with amplitudes divided by the root of the mean count.
    size : int
        Numbers of a vector.
    losses : Losses
        The loss of each modality at the point last evaluated.
    work : Work
        Counts of what was computed.

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

    losses: Losses

    @takes_settings(Model, ORDER)
    def __init__(
        self,
        scan: Scan,
        settings: Model,
        start: Mapping[str, ArrayLike] | None = None,
        comm: Any = None,
        data: LocalData | None = None,
    ) -> None:
        start = {} if start is None else start
        given = settings
        settings = agreed(comm, lambda: _checked(scan, given, start))
        self.scan, self.settings, self.method = scan, settings, settings.method
        self.real = DTYPES[settings.precision]
        self.complex = np.result_type(self.real, np.complex64)
        self.link = make_link(settings, scan)
        if data is None:
            require_same_problem(comm, scan, settings, start)
            data = LocalData.read(
                scan, self.method, self.real, settings.halo_margin, Ranks(comm),
                memory=settings.memory,
            )  # fmt: skip
        self.data, self.tile, self.ranks = data, data.tile, data.ranks
        self.work, self.evaluations = Work(), 0
        rescaled = data.patterns.mean_count if data.patterns is not None and settings.rescale_probe else None
        probe = starting_probe(scan, start, rescaled)
        if data.counts is not None:
            check_range(scan, data.counts, probe, self.real)
        parts = assemble(data, settings, self.link, probe, self.real)
        self.units, self.terms, self.diagonals = parts.units, parts.terms, parts.diagonals
        self.fields, self.beam, self._passes = parts.fields, parts.beam, parts.passes
        self.layout, self.mean_count = parts.layout, parts.units.mean_count
        self.unknowns, self.size = self.layout.names, self.layout.size
        self.preconditioner = Preconditioner(self.layout, identity=not settings.preconditioner)
        values = starting_values(start, probe, settings.link_offset, scan.N, parts.beam.initial_background())
        self.initial = self.scatter(**{name: values[name] for name in self.unknowns})
        # the object of the method fluorescence has the other fields of the start
        others = [name for name in self.link.unknowns if name not in self.fields.names]
        self._unseen = [self.fields.owned(name, values[name]) for name in others]
        self.beam.place(self.initial)
        alpha = alpha_of(
            settings,
            data,
            lambda: self._passes.gradient_ratio(self.fields.view(self.initial), self.diagonals),
        )
        strengths, known = strengths_of(settings, scan.N_e), settings.alpha == "statistical"
        self.weights = FluorescenceWeights(self.terms, alpha, strengths, self._forget, statistical=known)

    @property
    def alpha(self) -> NDArray[np.float64]:
        """The weights in use, (N_e,): those of a mean sample of each element."""
        return self.weights.alpha

    def scale_weights(self) -> float:
        """See `FluorescenceWeights.scale`."""
        return self.weights.scale()

    def weigh(self, vector: NDArray) -> None:
        """Weigh the samples of the fluorescence by the counts of a vector, where that is wanted."""
        predicted = self.predicted_fluorescence(vector) if self.weights.follow_counts else None
        if predicted is not None:
            self.weights.follow(predicted)

    def _forget(self) -> None:
        """Discard what belongs to other weights."""
        self.fields.forget()
        self.preconditioner.moved()

    # ---------------------------------------------------------------- vectors

    @property
    def nonnegative(self) -> slice:
        """Range of the maps in a vector, which a solver may bound below by 0."""
        return self.fields.range_of(self.link.nonnegative)

    @property
    def held(self) -> frozenset[str]:
        """Unknowns that stay as they are at present: their part of gradients and products is 0."""
        return self.layout.held

    @held.setter
    def held(self, names: frozenset[str]) -> None:
        self.layout.held = names
        self.preconditioner.moved()

    @property
    def with_probe(self) -> bool:
        """Whether the probe moves at present."""
        return self._free.probe

    @property
    def _free(self) -> Free:
        return self.beam.free(self.held)

    def scatter(self, **arrays: ArrayLike) -> NDArray[Any]:
        """Make this rank's (size,) vector of unknowns from global arrays, the same on every rank.

        Parameters
        ----------
        **arrays
            Every unknown by name: ``real_part``, ``imaginary_part``, ``absorption``, ``phase``, ``matrix``
            (n_rows, n_cols), ``elements`` (N_e, n_rows, n_cols), ``probe`` (K, m, m) complex,
            ``displacement`` (N, 2), ``distortion`` (2, 2), ``log_amplitude`` (N, 1). A number fills a map.

        Raises
        ------
        ValueError
            An unknown is missing or unexpected, or an array has a wrong shape or is not finite.
        """
        return self.layout.scatter(arrays)

    def gather(self, vector: NDArray) -> dict[str, NDArray[Any]]:
        """Return the unknowns of a vector as global arrays on every rank: the inverse of `scatter`."""
        return self.layout.gather(self.layout.checked(vector))

    # ---------------------------------------------------------------- value, gradient, product

    def at(self, vector: NDArray) -> Point:
        """Evaluate the objective at a vector: value, gradient, losses and ``point.hessian @ direction``."""
        return Point(self, self.layout.checked(vector))

    def value_and_gradient(
        self, vector: NDArray, chosen: NDArray[np.bool_] | None = None
    ) -> tuple[float, NDArray[Any]]:
        """Evaluate the objective and its gradient, and remember the point for products.

        Parameters
        ----------
        vector : (size,) array
        chosen : (n,) array of bool, optional
            Those of ``tile.positions`` whose patterns count, which is less than a sweep; default: all.

        Returns
        -------
        value : float
        gradient : (size,) array
            The part of the probe is d/dRe + i d/dIm as (re, im) pairs.
        """
        vector, gradient = self.layout.checked(vector), np.empty(self.size, self.real)
        self.preconditioner.moved()
        self.beam.place(vector)
        shares, of_beam = self._passes.gradient(
            self.fields.view(vector), self.fields.view(gradient), self._free, chosen
        )
        self._complete(gradient, of_beam)
        losses = self.layout.add_shares(gradient, *shares) * self.mean_count
        with_patterns, with_maps = self.data.patterns is not None, self.data.counts is not None
        there = np.where([with_patterns, with_maps, with_maps], losses, np.nan)
        self.losses = Losses(*map(float, there))
        self.work.gradients += chosen is None
        self.evaluations += 1
        return float(losses.sum()), gradient

    def hessian_product(self, direction: NDArray) -> NDArray[Any]:
        """Return the Hessian at the point last evaluated times a (size,) direction."""
        return self.product_with_dots(self.layout.checked(direction), None)[0]

    def product_with_dots(
        self, direction: NDArray, residual: NDArray | None
    ) -> tuple[NDArray[Any], tuple[float, float, float]]:
        """Return H direction and (residual . direction, product . direction, residual . residual)."""
        self._require_point()
        self.beam.aim(direction, self._free)
        product = np.empty(self.size, self.real)
        of_beam = self._passes.product(self.fields.view(direction), self.fields.view(product), self._free)
        self._complete(product, of_beam)
        self.work.products += 1
        return product, self.layout.product_dots(
            direction, product, product if residual is None else residual
        )

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

        Raises
        ------
        ValueError
            No point has been evaluated, or the direction has a wrong shape.
        """
        self._require_point()
        direction, lengths = self.layout.checked(direction), np.asarray(steps, dtype=np.float64)
        self.beam.aim(direction, self._free)
        shares = self._passes.losses_along(self.fields.view(direction), lengths, self._free)
        # with a moving probe there are two transforms for each pattern instead of one
        self.work.forwards += 2 if self._free.beam and self.data.patterns is not None else 1
        return self.ranks.sum(shares) * self.mean_count

    def _require_point(self) -> None:
        if self.evaluations == 0:
            raise ValueError("point: expected one evaluated before by value_and_gradient or at, got none")

    def _complete(self, vector: NDArray, of_beam: BeamGradient) -> None:
        """Set the beam's part of a gradient or a product, and zero what is held."""
        self.beam.complete(vector, of_beam)
        for kind in self.layout.kinds:
            kind.hold(vector, self.held)

    # ---------------------------------------------------------------- what the solver asks for besides

    @property
    def sweeps(self) -> float:
        """Sweeps over the positions so far."""
        return self.work.sweeps

    def dot(self, left: NDArray, right: NDArray) -> float:
        """Return the dot product of two vectors over all ranks; the replicated probe counts once."""
        return self.layout.dot(left, right)

    def precondition(self, residual: NDArray, free: NDArray[np.bool_] | None = None) -> NDArray[Any]:
        """Return M^-1 residual at the point last evaluated, within the free variables."""
        self._require_point()
        return self.preconditioner.apply(residual, free)

    def inverse_blocks(self) -> list[InverseBlocks]:
        """Return M^-1 at the point last evaluated, for each kind of unknown."""
        self._require_point()
        return self.preconditioner.blocks()

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums of some numbers over all ranks, in one reduction."""
        return self.ranks.sum(values)

    def any(self, *flags: bool) -> bool:
        """Return whether a flag is set on any rank, so that all ranks take the same decision."""
        return self.ranks.any(*flags)

    def smallest(self, value: float) -> float:
        """Return the smallest value over the ranks."""
        return -float(self.ranks.largest(-value)[0])

    # ---------------------------------------------------------------- what a user sees

    def complex_object(self, vector: NDArray) -> NDArray[Any]:
        """Return the object z of a vector on the owned pixels (all of them on one rank)."""
        fields = self.fields.view(self.layout.checked(vector))
        unseen = [np.broadcast_to(np.asarray(field, self.real), fields.shape[1:]) for field in self._unseen]
        return self.link.object_of(np.concatenate([*(field[None] for field in unseen), fields]))

    def elements_of(self, vector: NDArray) -> NDArray[Any]:
        """Return the (N_e, rows, columns) element maps of a vector on the owned pixels; N_e = 0 without."""
        return self.fields.view(self.layout.checked(vector))[self.fields.elements]

    def memory(self) -> dict[str, NDArray[Any]]:
        """Return what a resumed run needs beside vectors: arrays, the same on every rank."""
        return self.preconditioner.state() | self.beam.memory() | self.weights.memory()

    def restore_memory(self, memory: dict[str, NDArray[Any]]) -> None:
        """Take what `memory` has returned in an earlier run."""
        self.weights.restore(memory)
        self.beam.restore(memory)
        self.preconditioner.restore(memory)

    def probe_of(self, vector: NDArray) -> NDArray[Any]:
        """Return the (K, m, m) probe of a vector."""
        return np.array(self.beam.probe(self.layout.checked(vector)))

    def predicted_fluorescence(self, vector: NDArray) -> NDArray[np.float64] | None:
        """Return A_e w_e + B_e on the owned pixels, or at ``tile.positions``; None without fluorescence."""
        if self.data.counts is None:
            return None
        vector = self.layout.checked(vector)
        self.beam.place(vector)
        counts = self.units.net_counts(self._passes.blurred(self.fields.view(vector)))
        return counts + self.scan.background.reshape(-1, *([1] * (counts.ndim - 1)))

    def fluorescence_variance(self, vector: NDArray) -> NDArray[np.float64] | None:
        """Return the variance that the count scales and a vector let each sample of the fluorescence expect.

        On the owned pixels, or at ``tile.positions``, (N_e, ...), and infinite where a value is lost; None
        without fluorescence. Whether the scan tells the scales is in ``weights.noise.known``.
        """
        predicted = self.predicted_fluorescence(vector)
        return None if predicted is None else self.weights.variance(predicted)

    def pattern_misfit(self) -> NDArray[np.float64] | None:
        """Return the losses of this rank's patterns at the point last evaluated, or None without patterns."""
        self._require_point()
        diffraction = self.terms.diffraction
        return None if diffraction is None else diffraction.pattern_losses * self.mean_count

    def intensities(self, vector: NDArray) -> Iterator[tuple[int, int, NDArray[Any]]]:
        """Yield (first, last, intensities) of the patterns at a vector: see `Passes.intensities`."""
        vector = self.layout.checked(vector)
        self.beam.place(vector)
        return self._passes.intensities(self.fields.view(vector))
