"""A problem with all three kinds of unknowns, none of which is the objective's own."""

import numpy as np

from ptyxrf.driver.data.history import Work
from ptyxrf.driver.objective.local_data import make_tile
from ptyxrf.driver.objective.preconditioner import Preconditioner
from ptyxrf.driver.objective.unknown_kinds import Fields, PerPosition, Replicated
from ptyxrf.driver.objective.unknowns import Unknowns
from ptyxrf.parallel.reduction import Ranks

#: Weight of the squares of the unknowns, so that there is one minimum.
RIDGE = 0.1


class KindsProblem:
    """1/2 sum_j (k . w_j + t_j (s_0 + s_1 j / N) - d_j)^2 + ridge: a map w, t per position, s replicated.

    w_j is the patch of the map at position j; the product t_j s makes the problem nonlinear.
    """

    def __init__(self, scan, comm=None):
        self.ranks, self.work = Ranks(comm), Work()
        self.tile = make_tile(scan, "ptychography", 0, self.ranks)
        self.corners = scan.corners[self.tile.positions] - (
            self.tile.covered.row_start,
            self.tile.covered.column_start,
        )
        rng = np.random.default_rng(7)
        self.kernel = rng.normal(size=(scan.m, scan.m)) / scan.m
        self.data = rng.normal(size=scan.N)[self.tile.positions]
        self.ramp = np.stack([np.ones(scan.N), np.arange(scan.N) / scan.N], axis=1)[self.tile.positions]
        self.map = Fields(self.ranks, self.tile, {"map": 0}, np.float64)
        self.shifts = PerPosition("shifts", self.ranks, self.tile, scan.N, 1, np.float64)
        self.slopes = Replicated("slopes", (2,), np.float64)
        self.layout = Unknowns(self.ranks, [self.slopes, self.map, self.shifts], np.float64)
        self.preconditioner = Preconditioner(self.layout)
        self.halo, self.out = self.map.halo(), self.map.halo()
        start = {name: rng.normal(size=shape) for name, shape in self.shapes(scan).items()}
        self.initial = self.layout.scatter(start)
        self.nonnegative = slice(0, self.map.size)

    @staticmethod
    def shapes(scan):
        return {"map": scan.shape, "shifts": (scan.N, 1), "slopes": (2,)}

    @property
    def sweeps(self):
        return self.work.sweeps

    def _sums(self, fields):
        """Return the kernel's sum over the patch of each position."""
        covered, m = self.halo.fill(fields)[0], len(self.kernel)
        return np.array([(self.kernel * covered[r : r + m, c : c + m]).sum() for r, c in self.corners])

    def _adjoint(self, forces):
        self.out.covered[...] = 0
        m = len(self.kernel)
        for force, (r, c) in zip(forces, self.corners, strict=True):
            self.out.covered[0, r : r + m, c : c + m] += force * self.kernel
        return self.out.collect()

    def value_and_gradient(self, vector):
        self.vector = vector.copy()
        self.preconditioner.moved()
        shifts, slopes = self.shifts.view(vector)[:, 0], self.slopes.view(vector)
        heights = self.ramp @ slopes
        self.residual = self._sums(self.map.view(vector)) + shifts * heights - self.data
        gradient = self._assembled(
            self.residual, self.residual * heights, self.ramp.T @ (self.residual * shifts)
        )
        own = RIDGE / 2 * (vector[: self.layout.cut] ** 2).sum()
        (total,) = self.layout.add_shares(gradient, 0.5 * (self.residual**2).sum() + own)
        gradient += RIDGE * self._free(vector)
        self.work.gradients += 1
        return float(total + RIDGE / 2 * (vector[self.layout.cut :] ** 2).sum()), gradient

    def _free(self, vector):
        """Return a vector without its held parts."""
        free = vector.copy()
        for kind in self.layout.kinds:
            kind.hold(free, self.layout.held)
        return free

    def _assembled(self, of_sums, of_shifts, of_slopes):
        vector = np.empty(self.layout.size)
        self.map.view(vector)[...] = self._adjoint(of_sums)
        self.shifts.view(vector)[:, 0] = of_shifts
        self.slopes.view(vector)[...] = of_slopes
        return self._free(vector)

    def _product(self, direction):
        shifts, slopes = self.shifts.view(self.vector)[:, 0], self.slopes.view(self.vector)
        dshifts, dslopes = self.shifts.view(direction)[:, 0], self.slopes.view(direction)
        heights, dheights = self.ramp @ slopes, self.ramp @ dslopes
        change = self._sums(self.map.view(direction)) + dshifts * heights + shifts * dheights
        of_slopes = self.ramp.T @ (change * shifts + self.residual * dshifts)
        return self._assembled(change, change * heights + self.residual * dheights, of_slopes)

    def product_with_dots(self, direction, residual):
        self.work.products += 1
        product = self._product(direction)
        # the ridge of what is replicated counts once: after the shares are summed
        product[: self.layout.cut] += RIDGE * self._free(direction)[: self.layout.cut]
        share = RIDGE * self._free(direction)[self.layout.cut :] / self.ranks.size
        product[self.layout.cut :] += share
        return product, self.layout.product_dots(
            direction, product, product if residual is None else residual
        )

    def losses_along(self, direction, steps):
        here = self.vector
        losses = [self.value_and_gradient(here + t * direction)[0] for t in steps]
        self.value_and_gradient(here)
        return np.array(losses)

    def precondition(self, residual, free=None):
        return self.preconditioner.apply(residual, free)

    def inverse_blocks(self):
        return self.preconditioner.blocks()

    def dot(self, left, right):
        return self.layout.dot(left, right)

    def sum(self, values):
        return self.ranks.sum(values)

    def any(self, *flags):
        return self.ranks.any(*flags)

    def smallest(self, value):
        return -float(self.ranks.largest(-value)[0])
