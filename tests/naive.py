"""The model stated plainly in NumPy, position by position: slow, and independent of the package.

Transforms are matrices, blurs are lists of (sample, kernel pixel, map pixel) made by loops, so that every
adjoint is a transpose of something written out. Patterns and masks stay in detector order throughout.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np


def detector_order(m):
    """Frequencies of a pattern: the zero frequency stands at index m//2."""
    return np.array([i - m // 2 for i in range(m)])


def signed_order(m):
    """Frequencies of a DFT: 0, 1, ..., then the negative ones (m/2 counts as -m/2)."""
    return np.array([k if k < (m + 1) // 2 else k - m for k in range(m)])


def dft_matrix(m, frequencies=None):
    """Unitary DFT matrix; rows in detector order unless frequencies are given."""
    rows = detector_order(m) if frequencies is None else frequencies
    return np.exp(-2j * np.pi * np.outer(rows, np.arange(m)) / m) / np.sqrt(m)


def shift_matrix(m, fraction, order=0):
    """Move the content of a vector by a fraction of a pixel to higher indices; or a derivative of that."""
    k = signed_order(m)
    transform = dft_matrix(m, k)
    ramp = (-2j * np.pi * k / m) ** order * np.exp(-2j * np.pi * k * fraction / m)
    return transform.conj().T @ np.diag(ramp) @ transform


#: Orders of the derivatives of exp(v) S_j at v = 0 by the two fractions and by v.
AXES = ((1, 0), (0, 1), (0, 0))


def shift(field, fraction, orders=(0, 0)):
    """S_j of (..., m, m) arrays, or a derivative of it by the fractions."""
    m = field.shape[-1]
    return shift_matrix(m, fraction[0], orders[0]) @ field @ shift_matrix(m, fraction[1], orders[1]).T


def shift_adjoint(field, fraction, orders=(0, 0)):
    m = field.shape[-1]
    rows, columns = (shift_matrix(m, f, order) for f, order in zip(fraction, orders, strict=True))
    return rows.conj().T @ field @ columns.conj()


def shift_tangent(field, fraction, moves):
    """Change of exp(v) S_j P at v = 0, for (3,) changes of the two fractions and of v."""
    return sum(move * shift(field, fraction, orders) for move, orders in zip(moves, AXES, strict=True))


def linear_columns(positions):
    """What is constant or grows linearly over (N, 2) positions, as columns."""
    return np.column_stack([np.ones(len(positions)), positions])


def without_linear_parts(values, positions):
    """Numbers (N, n) of the positions less their least-squares fit by a plane."""
    columns = linear_columns(positions)
    return values - columns @ np.linalg.lstsq(columns, values, rcond=None)[0]


def patch(array, corner, m):
    """Pixels [r, r + m) x [c, c + m) of an array, one by one, so that none can wrap around."""
    values = np.empty((*array.shape[:-2], m, m), array.dtype)
    for i in range(m):
        for col in range(m):
            values[..., i, col] = array[..., corner[0] + i, corner[1] + col]
    return values


def add_patch(array, corner, values):
    """Adjoint of `patch`."""
    m = values.shape[-1]
    for i in range(m):
        for col in range(m):
            array[..., corner[0] + i, corner[1] + col] += values[..., i, col]


def real_dot(left, right):
    return float(np.sum((left.conj() * right).real))


def modulus(psi):
    """|psi| of (K, m, m) modes."""
    return np.sqrt(sum(abs(mode) ** 2 for mode in psi))


def unit_fields(psi, b):
    """q and c, both 0 where |psi| = 0."""
    size = modulus(psi)
    lit = size > 0
    safe = np.where(lit, size, 1.0)
    return np.where(lit, psi / safe, 0), np.where(lit, b / safe, 0)


def amplitude_loss(psi, b, good):
    return 0.5 * np.sum(np.where(good, modulus(psi) - b, 0.0) ** 2)


def amplitude_gradient(psi, b, good):
    q, _ = unit_fields(psi, b)
    return np.where(good, psi - b * q, 0)


def amplitude_hessian(psi, b, good, dpsi, curvature):
    q, c = unit_fields(psi, b)
    if curvature == "gauss-newton":
        c = np.where(modulus(psi) > 0, 1.0, 0.0)
    elif curvature == "positive":
        c = np.minimum(c, 1.0)
    along = sum((one.conj() * other).real for one, other in zip(q, dpsi, strict=True))
    return np.where(good, (1 - c) * dpsi + c * q * along, 0)


#: What the loss of Poisson counts adds to intensities and counts, in mean counts.
FAINT = 1e-6


def intensity_and_share(psi, b, beta, known, loss):
    """I = sum_k |psi_k|^2 + beta^2 + known, and c: b/sqrt(I) or d/I, 0 where I = 0."""
    intensity = modulus(psi) ** 2 + beta**2 + known
    lit = intensity > 0
    c = np.where(lit, b / np.sqrt(np.where(lit, intensity, 1.0)), 0.0)
    return intensity, c**2 if loss == "poisson" else c


def pattern_loss(psi, b, good, beta, known, loss):
    intensity, c = intensity_and_share(psi, b, beta, known, loss)
    if loss == "amplitude":
        return 0.5 * np.sum(np.where(good, np.sqrt(intensity) - b, 0.0) ** 2)
    return 0.25 * np.sum(np.where(good, intensity - b**2 + b**2 * np.log(np.where(good, c, 1.0)), 0.0))


def pattern_gradient(psi, b, good, beta, known, loss):
    """Gradients in psi and in beta."""
    _, c = intensity_and_share(psi, b, beta, known, loss)
    factor = np.where(good, (1 - c) * (0.5 if loss == "poisson" else 1.0), 0.0)
    return factor * psi, factor * beta


def pattern_hessian(psi, b, good, beta, known, loss, dpsi, dbeta, curvature):
    """Products in psi and in beta."""
    intensity, c = intensity_and_share(psi, b, beta, known, loss)
    if curvature == "gauss-newton":
        c = np.where(intensity > 0, 1.0, 0.0)
    elif curvature == "positive":
        c = np.minimum(c, 1.0)
    across = (1 - c) * (0.5 if loss == "poisson" else 1.0)
    along = sum((one.conj() * other).real for one, other in zip(psi, dpsi, strict=True)) + beta * dbeta
    along = along * c / np.where(intensity > 0, intensity, 1.0)
    return np.where(good, across * dpsi + along * psi, 0), np.where(good, across * dbeta + along * beta, 0)


def grid_terms(shape, m, correlation):
    """List (sample, version 0, kernel pixel, map pixel, factor) of a same-size linear convolution."""
    rows, columns = shape
    terms = []
    for r in range(rows):
        for c in range(columns):
            for i in range(m):
                for col in range(m):
                    down, right = (i - m // 2, col - m // 2)
                    row, column = (r + down, c + right) if correlation else (r - down, c - right)
                    if 0 <= row < rows and 0 <= column < columns:
                        terms.append((r * columns + c, 0, i * m + col, row * columns + column, 1.0))
    return terms


def scan_terms(shape, m, corners, exposure):
    """The same list for one count per position, with a kernel for each."""
    return [
        (j, j, i * m + col, (corner[0] + i) * shape[1] + corner[1] + col, exposure[j])
        for j, corner in enumerate(corners)
        for i in range(m)
        for col in range(m)
    ]


class Bilinear:
    """samples = sum over the terms of factor * kernel * map, and its two adjoints."""

    def __init__(self, terms, samples, versions, m, shape):
        columns = list(zip(*terms, strict=True))
        self.sample, self.version, self.kernel, self.pixel = (np.array(c) for c in columns[:4])
        self.factor = np.array(columns[4])
        self.samples, self.versions, self.m, self.shape = samples, versions, m, shape

    def _kernels(self, kernels):
        return np.reshape(kernels, (self.versions, -1))[self.version, self.kernel]

    def apply(self, kernels, w):
        out = np.zeros(self.samples)
        np.add.at(out, self.sample, self.factor * self._kernels(kernels) * w.ravel()[self.pixel])
        return out

    def maps_adjoint(self, kernels, out):
        w = np.zeros(self.shape[0] * self.shape[1])
        np.add.at(w, self.pixel, self.factor * self._kernels(kernels) * out[self.sample])
        return w.reshape(self.shape)

    def kernels_adjoint(self, w, out):
        kernels = np.zeros((self.versions, self.m * self.m))
        np.add.at(
            kernels, (self.version, self.kernel), self.factor * w.ravel()[self.pixel] * out[self.sample]
        )
        return kernels.reshape(self.versions, self.m, self.m)


#: Unknowns of the beam at each position.
MOVES = {"displacement", "distortion", "log_amplitude"}


def prior_loss(maps, strengths):
    """Half the sum of strengths times squared differences of neighbours."""
    return sum(
        s / 2 * sum(np.sum(np.diff(w, axis=axis) ** 2) for axis in (0, 1))
        for s, w in zip(strengths, np.asarray(maps, float), strict=True)
    )


def prior_gradient(maps, strengths):
    """Gradient of `prior_loss`: the transposed differences of the differences."""
    out = np.zeros(np.shape(maps))
    for s, w, g in zip(strengths, np.asarray(maps, float), out, strict=True):
        for axis in (0, 1):
            pads = [(1, 1) if a == axis else (0, 0) for a in (0, 1)]
            g -= s * np.diff(np.pad(np.diff(w, axis=axis), pads), axis=axis)
    return out


#: Names of the fields that make the object.
FIELDS = frozenset({"real_part", "imaginary_part", "absorption", "phase", "matrix", "elements"})


@dataclass
class Model:
    """Phi of a scan. `alpha` holds N_e weights, 0 for an element without data."""

    patterns: Any
    positions: Any
    probe: Any
    shape: tuple[int, int]
    mask: Any = None
    exposure: Any = None
    fluorescence: Any = None
    attenuation: Any = None
    sensitivity: Any = None
    background: Any = None
    blur: str = "convolution"
    alpha: Any = None
    method: str = "joint"
    link_offset: float = 0.0
    phase_shift: Any = None
    matrix: Any = None
    phase_free: bool = False
    curvature: str = "full"
    pattern_background: Any = None
    loss: str = "amplitude"
    faint: Any = None
    fluorescence_exposure: Any = None
    relative: Any = None
    strengths: Any = None

    def __post_init__(self):
        self.N, self.m = self.patterns.shape[:2]
        self.corners = np.floor(self.positions).astype(int)
        self.fractions = self.positions - self.corners
        good = np.ones((self.m, self.m), bool) if self.mask is None else np.asarray(self.mask)
        self.good = np.broadcast_to(good, self.patterns.shape)
        self.b = np.sqrt(np.where(self.good, self.patterns, 0.0))
        if self.faint is None:
            self.faint = FAINT * np.mean(self.patterns[self.good]) if self.loss == "poisson" else 0.0
        self.b = np.sqrt(self.b**2 + self.faint)
        background = 0.0 if self.pattern_background is None else self.pattern_background
        self.known = self.faint + np.broadcast_to(background, (self.m, self.m))
        if self.exposure is None:
            self.exposure = np.ones(self.N)
        self.F = dft_matrix(self.m)
        if self.fluorescence is None:
            self.N_e = 0
            return
        self.N_e = len(self.fluorescence)
        self.grid = np.ndim(self.fluorescence) == 3
        ones = np.ones(self.N_e)
        self.attenuation = ones if self.attenuation is None else np.asarray(self.attenuation)
        self.sensitivity = ones if self.sensitivity is None else np.asarray(self.sensitivity)
        self.background = 0 * ones if self.background is None else np.asarray(self.background)
        self.data = np.reshape(self.fluorescence, (self.N_e, -1))
        self.relative = (
            np.ones_like(self.data) if self.relative is None else self.relative.reshape(self.N_e, -1)
        )
        if self.grid:
            terms = grid_terms(self.shape, self.m, self.blur == "correlation")
        else:
            light = self.exposure if self.fluorescence_exposure is None else self.fluorescence_exposure
            terms = scan_terms(self.shape, self.m, self.corners, light)
        versions = 1 if self.grid else self.N
        self.bilinear = Bilinear(terms, self.data.shape[1], versions, self.m, self.shape)

    # ------------------------------------------------------------ optics

    @property
    def exponential(self):
        """Whether z is the exponential of a sum of the fields."""
        return self.phase_shift is not None and self.method != "ptychography"

    def factors(self, name):
        """Factor of each map of a field in the sum."""
        if name == "elements":
            delay = 0 if self.phase_free else 1j  # a free phase is that of the whole
            return (
                -(self.attenuation + delay * self.phase_shift) if self.exponential else 1j * self.attenuation
            )
        if name == "matrix":
            return [-complex(self.matrix[0], 0 if self.phase_free else self.matrix[1])]
        return [{"real_part": 1, "imaginary_part": 1j, "absorption": -1, "phase": 1j}[name]]

    def combination(self, u):
        """Sum of the fields of the object with their factors."""
        total = np.zeros(self.shape, complex)
        for name in FIELDS.intersection(u):
            maps = u[name] if name == "elements" else [u[name]]
            for factor, one in zip(self.factors(name), maps, strict=True):
                total += factor * one
        return total

    def object(self, u):
        if self.exponential:
            return np.exp(self.combination(u))
        return self.combination(u) + (0 if self.method == "ptychography" else 1j * self.link_offset)

    def object_tangent(self, u, du):
        return (self.object(u) if self.exponential else 1) * self.combination(du)

    def far_field(self, j, exit_waves):
        return np.sqrt(self.exposure[j]) * (self.F @ exit_waves @ self.F.T)

    def far_field_adjoint(self, j, fields):
        return np.sqrt(self.exposure[j]) * (self.F.conj().T @ fields @ self.F.conj())

    def exit_waves(self, j, z, probe):
        return shift(probe, self.fractions[j]) * patch(z, self.corners[j], self.m)

    def measured(self, j, u):
        """What a pattern is compared with, and how: arguments of `pattern_loss` after psi."""
        return self.b[j], self.good[j], u.get("background_amplitude", 0.0), self.known, self.loss

    def intensities(self, z, probe):
        """Noiseless patterns, without the background."""
        return np.array(
            [modulus(self.far_field(j, self.exit_waves(j, z, probe))) ** 2 for j in range(self.N)]
        )

    # ------------------------------------------------------------ the beam at each position

    def probe_of(self, u):
        return u.get("probe", self.probe)

    def moves(self, u):
        """(N, 3): displacements of all kinds, and the logarithm of the amplitude."""
        moves = np.zeros((self.N, 3))
        if "displacement" in u:
            moves[:, :2] += without_linear_parts(u["displacement"], self.positions)
        if "distortion" in u:
            moves[:, :2] += self.lever() @ u["distortion"].T
        if "log_amplitude" in u:
            moves[:, 2:] += without_linear_parts(u["log_amplitude"], self.positions)
        return moves

    def lever(self):
        return self.positions - self.positions.mean(axis=0)

    def places(self, u):
        """Fraction and amplitude of each position."""
        moves = self.moves(u)
        return list(zip(self.fractions + moves[:, :2], np.exp(moves[:, 2]), strict=True))

    def beams(self, u):
        """g_j S_j P (N, K, m, m)."""
        return np.array([g * shift(self.probe_of(u), f) for f, g in self.places(u)])

    def beams_tangent(self, u, du):
        """Change of the beams."""
        probe, dprobe = self.probe_of(u), self.dprobe(du)
        return np.array(
            [
                g * (shift(dprobe, f) + shift_tangent(probe, f, dmoves))
                for (f, g), dmoves in zip(self.places(u), self.moves(du), strict=True)
            ]
        )

    def dprobe(self, du):
        return du.get("probe", np.zeros(self.probe.shape, complex))

    def beams_adjoint(self, u, fields):
        """Gradient of sum_j Re <fields_j, beams_j> in the probe and in the moves."""
        probe = self.probe_of(u)
        in_probe, in_moves = np.zeros(self.probe.shape, complex), np.zeros((self.N, 3))
        for j, (f, g) in enumerate(self.places(u)):
            in_probe += g * shift_adjoint(fields[j], f)
            in_moves[j] = [g * real_dot(fields[j], shift(probe, f, orders)) for orders in AXES]
        return in_probe, in_moves

    def beams_bend(self, u, du, fields):
        """Change of `beams_adjoint` along du for the same fields."""
        probe, dprobe = self.probe_of(u), self.dprobe(du)
        in_probe, in_moves = np.zeros(self.probe.shape, complex), np.zeros((self.N, 3))
        for j, ((f, g), dmoves) in enumerate(zip(self.places(u), self.moves(du), strict=True)):
            for a, one in enumerate(AXES):
                in_probe += g * dmoves[a] * shift_adjoint(fields[j], f, one)
                in_moves[j, a] += g * real_dot(fields[j], shift(dprobe, f, one))
                for b, other in enumerate(AXES):
                    twice = shift(probe, f, np.add(one, other))
                    in_moves[j, a] += g * dmoves[b] * real_dot(fields[j], twice)
        return in_probe, in_moves

    # ------------------------------------------------------------ fluorescence

    def kernels(self, left, right):
        """Re sum_k conj(left_k) right_k of (V, K, m, m) fields: one of the grid, or one per position."""
        return np.sum((np.conj(left) * right).real, axis=1)

    def seen(self, probe, beams):
        """The fields whose squares blur the maps: the probe, or with a scan that of each position."""
        return probe[None] if self.grid else beams

    def counts(self, u):
        """A_e w_e + B_e as the detector records it."""
        elements, seen = u["elements"], self.seen(self.probe_of(u), self.beams(u))
        k = self.kernels(seen, seen)
        out = [s * self.bilinear.apply(k, w) + b
               for s, w, b in zip(self.sensitivity, elements, self.background, strict=True)]  # fmt: skip
        return np.reshape(out, np.shape(self.fluorescence))

    def residuals(self, u):
        """A_e w_e + B_e - D_e, with 0 for an element of weight 0."""
        out = self.counts(u).reshape(self.N_e, -1) - self.data
        return [r if a > 0 else np.zeros_like(r) for a, r in zip(self.alpha, out, strict=True)]

    # ------------------------------------------------------------ objective

    def losses(self, u):
        """(Phi_p, Phi_f with the prior of the maps); 0 for a modality that the method does not have."""
        ptychography = fluorescence = 0.0
        if self.method != "fluorescence":
            z = self.object(u)
            for j, beam in enumerate(self.beams(u)):
                psi = self.far_field(j, beam * patch(z, self.corners[j], self.m))
                ptychography += pattern_loss(psi, *self.measured(j, u)) / self.N
        if self.method != "ptychography":
            for a, weights, r in zip(self.alpha, self.relative, self.residuals(u), strict=True):
                fluorescence += a / (2 * self.N_e) * np.sum(weights * r**2)
            if self.strengths is not None:
                fluorescence += prior_loss(u["elements"], self.strengths)
        return ptychography, fluorescence

    def value(self, u):
        return sum(self.losses(u))

    def _fields(self, u, maps, g_z, g_w, g_probe, g_moves, g_root):
        """Complex gradients or products as the unknowns of `u`."""
        if self.exponential:
            g_z = self.object(u).conj() * g_z
        linked = {
            name: np.array([(np.conj(k) * g_z).real for k in self.factors(name)])
            for name in FIELDS.intersection(u)
        }
        out = {name: maps[0] for name, maps in linked.items()}
        if "elements" in u:
            out["elements"] = linked["elements"] + np.array(g_w)
            if self.strengths is not None:
                out["elements"] += prior_gradient(maps, self.strengths)
        places, amplitudes = g_moves[:, :2], g_moves[:, 2:]
        out |= {
            "probe": g_probe,
            "background_amplitude": g_root,
            "displacement": without_linear_parts(places, self.positions),
            "distortion": places.T @ self.lever(),
            "log_amplitude": without_linear_parts(amplitudes, self.positions),
        }
        return {name: out[name] for name in u}

    def gradient(self, u):
        g_z, g_w = np.zeros(self.shape, complex), [np.zeros(self.shape) for _ in range(self.N_e)]
        beams, g_root = self.beams(u), np.zeros((self.m, self.m))
        of_beams, of_probe = np.zeros(beams.shape, complex), np.zeros(self.probe.shape, complex)
        if self.method != "fluorescence":
            z = self.object(u)
            for j, beam in enumerate(beams):
                z_j = patch(z, self.corners[j], self.m)
                psi = self.far_field(j, beam * z_j)
                forces, in_root = pattern_gradient(psi, *self.measured(j, u))
                back = self.far_field_adjoint(j, forces) / self.N
                g_root += in_root / self.N
                add_patch(g_z, self.corners[j], (beam.conj() * back).sum(axis=0))
                of_beams[j] += z_j.conj() * back
        if self.method != "ptychography":
            seen = self.seen(self.probe_of(u), beams)
            k = self.kernels(seen, seen)
            h = np.zeros(k.shape)
            for e, r in enumerate(self.relative * self.residuals(u)):
                factor = self.alpha[e] / self.N_e * self.sensitivity[e]
                g_w[e] += factor * self.bilinear.maps_adjoint(k, r)
                h += factor * self.bilinear.kernels_adjoint(u["elements"][e], r)
            self._add_seen(2 * seen * h[:, None], of_beams, of_probe)
        in_probe, in_moves = self.beams_adjoint(u, of_beams)
        return self._fields(u, u.get("elements"), g_z, g_w, of_probe + in_probe, in_moves, g_root)

    def _add_seen(self, fields, of_beams, of_probe):
        if self.grid:
            of_probe += fields[0]
        else:
            of_beams += fields

    def product(self, u, du):
        """Hessian of the chosen curvature at u, applied to du."""
        full = self.curvature == "full"
        h_z, h_w = np.zeros(self.shape, complex), [np.zeros(self.shape) for _ in range(self.N_e)]
        beams, moved = self.beams(u), self.beams_tangent(u, du)
        of_beams, of_probe = np.zeros(beams.shape, complex), np.zeros(self.probe.shape, complex)
        forces = np.zeros(beams.shape, complex)  # of the residuals on the beams
        h_root = np.zeros((self.m, self.m))
        if self.method != "fluorescence":
            z = self.object(u)
            dz = self.object_tangent(u, du)
            for j in range(self.N):
                corner, p_j, dp_j = self.corners[j], beams[j], moved[j]
                z_j, dz_j = patch(z, corner, self.m), patch(dz, corner, self.m)
                psi, dpsi = self.far_field(j, p_j * z_j), self.far_field(j, dp_j * z_j + p_j * dz_j)
                droot = du.get("background_amplitude", 0.0)
                bent, in_root = pattern_hessian(psi, *self.measured(j, u), dpsi, droot, self.curvature)
                h_root += in_root / self.N
                back = self.far_field_adjoint(j, bent) / self.N
                in_z, in_beam = p_j.conj() * back, z_j.conj() * back
                if full:
                    at_point, _ = pattern_gradient(psi, *self.measured(j, u))
                    force = self.far_field_adjoint(j, at_point) / self.N
                    in_z = in_z + dp_j.conj() * force
                    if self.exponential:  # the bend of z
                        bend = patch(self.combination(du), corner, self.m).conj()
                        in_z = in_z + bend * p_j.conj() * force
                    in_beam = in_beam + dz_j.conj() * force
                    forces[j] += z_j.conj() * force
                add_patch(h_z, corner, in_z.sum(axis=0))
                of_beams[j] += in_beam
        if self.method != "ptychography":
            seen, change = self.seen(self.probe_of(u), beams), self.seen(self.dprobe(du), moved)
            k, dk = self.kernels(seen, seen), 2 * self.kernels(seen, change)
            h, dh = np.zeros(k.shape), np.zeros(k.shape)
            for e, r in enumerate(self.relative * self.residuals(u)):
                factor, s = self.alpha[e] / self.N_e * self.sensitivity[e], self.sensitivity[e]
                w, dw = u["elements"][e], du["elements"][e]
                dr = s * self.relative[e] * (self.bilinear.apply(k, dw) + self.bilinear.apply(dk, w))
                h_w[e] += factor * self.bilinear.maps_adjoint(k, dr)
                dh += factor * self.bilinear.kernels_adjoint(w, dr)
                if full:
                    h_w[e] += factor * self.bilinear.maps_adjoint(dk, r)
                    dh += factor * self.bilinear.kernels_adjoint(dw, r)
                    h += factor * self.bilinear.kernels_adjoint(w, r)
            self._add_seen(2 * seen * dh[:, None] + 2 * change * h[:, None], of_beams, of_probe)
            self._add_seen(2 * seen * h[:, None], forces, np.zeros_like(of_probe))
        in_probe, in_moves = self.beams_adjoint(u, of_beams)
        if full and MOVES.intersection(u):
            more = self.beams_bend(u, du, forces)
            in_probe, in_moves = in_probe + more[0], in_moves + more[1]
        return self._fields(u, du.get("elements"), h_z, h_w, of_probe + in_probe, in_moves, h_root)


def inner(left, right):
    """Real dot product of two sets of unknowns; a complex gradient is d/dRe + i d/dIm."""
    return sum(float(np.sum((np.conj(left[name]) * right[name]).real)) for name in left)


def random_complex(rng, shape, dtype=np.complex128):
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)


def relative(value, expected):
    """Largest difference over the largest expected modulus."""
    value, expected = np.asarray(value), np.asarray(expected)
    assert value.shape == expected.shape, (value.shape, expected.shape)
    scale = np.abs(expected).max()
    return float(np.abs(value - expected).max() / (scale if scale > 0 else 1.0))


#: Relative differences that rounding explains, by the dtype of the fields.
ROUNDING = {np.complex64: 3e-6, np.complex128: 1e-13, np.float32: 3e-6, np.float64: 1e-13}


def model_of(scan, **more):
    """The model of a `ptyxrf.Scan`; what a scan does not hold (alpha, method, ...) comes with `more`."""
    maps = {}
    if scan.fluorescence is not None:
        names = ("fluorescence", "attenuation", "phase_shift", "sensitivity", "background")
        maps = {name: getattr(scan, name) for name in names}
    return Model(
        scan.patterns,
        scan.positions,
        scan.probe,
        scan.shape,
        mask=scan.mask,
        exposure=scan.exposure,
        blur=scan.blur,
        pattern_background=scan.pattern_background,
        fluorescence_exposure=scan.fluorescence_exposure,
        **maps,
        **more,
    )


def checksum(values):
    """The sum of splitmix64's mixing over all 32-bit words of an array, with Python's integers."""
    words = np.ascontiguousarray(values).reshape(-1).view(np.uint32).tolist()
    total = 0
    for index, word in enumerate(words):
        mixed = (index * 0x9E3779B97F4A7C15 % 2**64) ^ word
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
        total += mixed ^ mixed >> 31
    return total % 2**64


def frame_sums(frames):
    """Counts of each frame, and sum and maximum of each pixel, as integers of any size."""
    counts = [[int(count) for count in frame] for frame in frames]
    pixels = list(zip(*counts, strict=True))
    return (
        [sum(frame) for frame in counts],
        [sum(pixel) for pixel in pixels],
        [max(pixel) for pixel in pixels],
    )


def fletcher32(data):
    """Checksum of bytes in words of two, the first byte the upper one, in sums of ones' complement."""
    sums = [0, 0]
    for place in range(0, len(data), 2):
        sums[0] += data[place] << 8 | (data[place + 1] if place + 1 < len(data) else 0)
        sums[1] += sums[0]
        while max(sums) > 0xFFFF:
            sums = [(value & 0xFFFF) + (value >> 16) for value in sums]
    return sums[1] << 16 | sums[0]
