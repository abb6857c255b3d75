"""Small analytic problems for the solvers, with counts of what was asked for."""

import time

import numpy as np

from ptyxrf.driver.data.history import Reason
from ptyxrf.driver.solver.inverse_blocks import InverseBlocks
from ptyxrf.driver.solver.quasi_newton import QuasiNewton
from ptyxrf.driver.solver.settings import SolverSettings, Stops
from ptyxrf.driver.solver.truncated_newton import TruncatedNewton


class Problem:
    """A function of a few numbers with its derivatives, and counts of what was asked for."""

    def __init__(
        self, function, gradient, hessian, initial, *, nonnegative=slice(0, 0), diagonal=None, delay=0.0
    ):
        self.function, self.slope, self.hessian = function, gradient, hessian
        self.initial = np.asarray(initial)
        self.nonnegative = nonnegative
        self.diagonal = np.ones(len(self.initial)) if diagonal is None else diagonal
        self.delay, self.sweeps, self.products = delay, 0.0, 0
        self.evaluated = []

    def _count(self, sweeps):
        self.sweeps += sweeps
        time.sleep(self.delay)

    def value_and_gradient(self, vector):
        self._count(1)
        self.point = np.array(vector)
        self.evaluated.append(self.point)
        return float(self.function(self.point)), np.asarray(self.slope(self.point), self.initial.dtype)

    def product_with_dots(self, direction, residual):
        self._count(1)
        self.products += 1
        product = (self.hessian(self.point) @ direction).astype(direction.dtype)
        residual = product if residual is None else residual
        return product, (residual @ direction, product @ direction, residual @ residual)

    def precondition(self, residual, free=None):
        return residual / self.diagonal.astype(residual.dtype) * (1 if free is None else free)

    def dot(self, left, right):
        return float(left @ right)

    def inverse_blocks(self):
        return [InverseBlocks.diagonal(0, (1 / self.diagonal).astype(self.initial.dtype))]

    def sum(self, values):
        return values

    def any(self, *flags):
        return any(flags)

    def smallest(self, value):
        return value

    def losses_along(self, direction, steps):
        self._count(0.5)
        return np.array([self.function(self.point + t * direction) for t in steps], float)


def quadratic(n=12, seed=0, *, lowest=1.0, **options):
    """1/2 x^T H x - b^T x with eigenvalues from `lowest` to 50."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(n, n)))[0]
    H = basis @ np.diag(np.linspace(lowest, 50, n)) @ basis.T
    b = rng.normal(size=n)
    initial = options.pop("initial", np.zeros(n))
    problem = Problem(lambda x: 0.5 * x @ H @ x - b @ x, lambda x: H @ x - b, lambda x: H, initial, **options)
    return problem, H, b


def least_squares(A, b, initial=None, **options):
    n = A.shape[1]
    return Problem(
        lambda x: 0.5 * ((A @ x - b) ** 2).sum(), lambda x: A.T @ (A @ x - b), lambda x: A.T @ A,
        np.zeros(n) if initial is None else initial, **options,
    )  # fmt: skip


def double_well(initial):
    """Minima at every x_i = 1 or -1, a maximum at 0; the wells differ in depth by a small slope."""
    return Problem(
        lambda x: 0.25 * ((x**2 - 1) ** 2).sum(), lambda x: x**3 - x, lambda x: np.diag(3 * x**2 - 1), initial
    )


def rosenbrock(initial=(-1.2, 1.0)):
    return Problem(
        lambda x: 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2,
        lambda x: np.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)]),
        lambda x: np.array([[1200 * x[0] ** 2 - 400 * x[1] + 2, -400 * x[0]], [-400 * x[0], 200]]),
        np.array(initial),
    )


def solve(solver, problem, report=None, prepare=None, **options):
    """Run a solver as a caller would; return the point, the reason and the state of each iteration.

    `report` is given each state and stops the run with a true answer; `prepare` is given the number of the
    next iteration and whether the solver has settled, and says whether it has changed the problem.
    """
    settings = {name: options.pop(name) for name in SolverSettings.declared() if name in options}
    settings["solver"] = {QuasiNewton: "quasi-newton", TruncatedNewton: "newton"}[solver]
    minimiser = solver(problem, SolverSettings(**settings), Stops(**options))
    state, reason = minimiser.start(problem.initial), None
    history = [state]
    if report is not None and report(state):
        reason = Reason.CALLBACK
    while reason is None:
        if prepare is not None and prepare(state.number + 1, state.settled is not None):
            state = minimiser.reset(state)
        reason = minimiser.reason(state)
        if reason is None:
            state = minimiser.step(state)
            if state.number == len(history):
                history.append(state)
                if report is not None and report(state):
                    reason = Reason.CALLBACK
    return state.vector, reason, history
