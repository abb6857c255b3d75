"""
A link of your own
==================

A link says how maps and free fields make the object. This one is for a specimen whose matrix is one material, with a known ratio r of
absorption to phase: the free phase field then absorbs, too,

.. math:: z = \\exp\\Big((r + i)\\,\\varphi - \\sum_e (a_e + i p_e)\\,w_e\\Big).
"""

# %%
# The class
# ---------
# A link has the names of its fields, the value of z, its derivative, the adjoint of that, and a start from a known object. All of it works
# pixel by pixel on windows of the arrays. NumPy is enough; speed is what the links of the library add.
import numpy as np

import ptyxrf


class OneMaterial(ptyxrf.Link):
    """z = exp((ratio + i) phase - sum_e (a_e + i p_e) w_e)."""

    unknowns = ("phase", "elements")
    linear = False

    def __init__(self, attenuation, phase_shift, ratio):
        elements = np.asarray(attenuation) + 1j * np.asarray(phase_shift)
        self.weights = np.concatenate([[ratio + 1j], -elements])

    def forward(self, fields, at, z):
        here, there = places(at)
        z[here] = np.exp(np.tensordot(self.weights, fields[(slice(None), *there)], axes=1))

    def derivative(self, point, z, change, at, out):
        here, there = places(at)
        out[here] = z[here] * np.tensordot(self.weights, change[(slice(None), *there)], axes=1)

    def adjoint(self, point, z, gradient, at, scale, out, *, add):
        here, there = places(at)
        inner = np.conj(z[here]) * gradient[here]
        share = scale * (np.conj(self.weights)[:, None, None] * inner).real
        out[(slice(None), *there)] = share + (out[(slice(None), *there)] if add else 0)

    def second_order(self, point, z, change, gradient, at, scale, out):
        here, there = places(at)
        turned = z[here] * np.tensordot(self.weights, change[(slice(None), *there)], axes=1)
        share = (np.conj(self.weights)[:, None, None] * np.conj(turned) * gradient[here]).real
        out[(slice(None), *there)] += scale * share

    def fields_of(self, z, elements, weights=None):
        rest = z * np.exp(-np.tensordot(self.weights[1:], elements, axes=1))
        return {"phase": np.angle(rest), "elements": elements}


def places(at):
    """Slices of a window in arrays of the image, and in fields that begin elsewhere."""
    row, column, rows, columns = at.extent
    top, left = at.corner
    return np.s_[row : row + rows, column : column + columns], np.s_[top : top + rows, left : left + columns]


# %%
# Test it
# -------
# Two checks find most mistakes: the derivative against differences, and the adjoint against the derivative.
from ptyxrf.parallel.rectangle import Rectangle, Window

rng = np.random.default_rng(0)
link = OneMaterial([30.0, 50.0], [200.0, 250.0], ratio=0.05)
whole = Window.same(Rectangle(0, 5, 0, 6))
scale = np.array([1.0, 1e-3, 1e-3])[:, None, None]
fields, change = scale * rng.normal(size=(2, 3, 5, 6))
z, dz, gradient = link.object_of(fields), np.empty((5, 6), complex), rng.normal(size=(5, 6)) * (1 + 2j)
link.derivative(fields, z, change, whole, dz)
difference = (link.object_of(fields + 1e-6 * change) - link.object_of(fields - 1e-6 * change)) / 2e-6
print("derivative:", np.linalg.norm(dz - difference) / np.linalg.norm(difference))
back = np.zeros_like(change)
link.adjoint(fields, z, gradient, whole, 1.0, back, add=False)
print("adjoint:", abs(np.vdot(dz, gradient).real / np.vdot(change, back) - 1))

# %%
# Use it
# ------
# The matrix of the simulated specimen is one material, and its ratio of absorption to phase follows from the tables.
scan = ptyxrf.simulate(
    n=160,
    m=64,
    per_side=12,
    elements=3,
    margin=3,
    dtype="float32",
    link="refractive",
    matrix="C5H8O2",
    sampling="scan",
    fractional=True,
    jitter=0.15,
    photons=100.0,
    noise="counting",
    defocus=200e-6,
)
(absorbed,), (delayed,) = ptyxrf.optical_constants("C5H8O2", scan.geometry.energy)
mine = OneMaterial(scan.attenuation, scan.phase_shift, ratio=absorbed / delayed)
maps, area = np.asarray(scan.truth["elements"]), ptyxrf.illuminated_area(scan)
shown = {"truth": maps[-1]}
for name, link in (("free phase", "refractive"), ("one material", mine)):
    result = ptyxrf.reconstruct(scan, link=link, max_sweeps=100)
    shown[name] = result.elements[-1]
    errors = np.linalg.norm((result.elements - maps)[:, area], axis=1) / np.linalg.norm(maps[:, area], axis=1)
    print(
        f"{name}: errors of the maps",
        ", ".join(f"{n} {e:.2f}" for n, e in zip(scan.element_names, errors, strict=True)),
    )
    print("   ", result.quality.link)

# %%
# Both links find the same maps, of which this is the last: the right one of few unknowns costs nothing.
import matplotlib.pyplot as plt

figure, axes = plt.subplots(1, 3, figsize=(9, 3), layout="constrained")
for ax, (name, values) in zip(axes, shown.items(), strict=True):
    ax.imshow(np.where(area, values, np.nan), cmap="inferno", vmin=0, vmax=maps[-1].max())
    ax.set(title=f"{scan.element_names[-1]}, {name}", xticks=[], yticks=[])
