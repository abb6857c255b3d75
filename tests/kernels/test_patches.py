"""Patch extraction and overlap-add against loops over single pixels."""

import naive
import numba
import numpy as np
import pytest

from ptyxrf.kernels.patches import (
    add_illumination,
    add_patches,
    multiply_patches,
    multiply_patches_add,
    sum_object_intensity,
    sum_patches,
)

CASES = [
    (modes, m, shared, dtype)
    for modes, m, shared in ((1, 7, True), (3, 8, False), (1, 9, False), (3, 7, True))
    for dtype in (np.complex64, np.complex128)
]


@pytest.fixture(params=CASES, ids=lambda c: f"K{c[0]}-m{c[1]}-{'shared' if c[2] else 'own'}-{c[3].__name__}")
def case(request):
    modes, m, shared, dtype = request.param
    rng = np.random.default_rng(m + modes)
    count, shape = 4, (m + 4, m + 3)
    versions = 1 if shared else count
    return {
        "m": m,
        "tile": naive.random_complex(rng, shape, dtype),
        "probes": naive.random_complex(rng, (versions, modes, m, m), dtype),
        "which": np.zeros(count, np.int64) if shared else rng.permutation(count).astype(np.int64),
        # two patches coincide, two stand in opposite corners of the tile
        "corners": np.array([[1, 2], [0, 0], [1, 2], [4, 3]], np.int64),
        "scales": rng.uniform(0.5, 2, count).astype(np.zeros(0, dtype).real.dtype),
        "fields": naive.random_complex(rng, (count, modes, m, m), dtype),
        "tolerance": naive.ROUNDING[dtype],
    }


def arguments(case):
    return case["probes"], case["which"], case["corners"], case["scales"]


def expected_fields(case):
    return np.array(
        [
            scale * case["probes"][version] * naive.patch(case["tile"], corner, case["m"])
            for version, corner, scale in zip(case["which"], case["corners"], case["scales"], strict=True)
        ]
    )


def test_multiply_patches(case):
    fields = np.full_like(case["fields"], np.nan)
    multiply_patches(case["tile"], *arguments(case), fields)
    assert naive.relative(fields, expected_fields(case)) < case["tolerance"]


def test_multiply_patches_add(case):
    fields = case["fields"].copy()
    multiply_patches_add(case["tile"], *arguments(case), fields)
    assert naive.relative(fields, case["fields"] + expected_fields(case)) < case["tolerance"]


def test_add_patches(case):
    tile = case["tile"].copy()
    expected = case["tile"].astype(complex)
    for b, corner in enumerate(case["corners"]):
        probe = case["probes"][case["which"][b]]
        naive.add_patch(expected, corner, case["scales"][b] * (probe.conj() * case["fields"][b]).sum(axis=0))
    add_patches(case["fields"], *arguments(case), tile)
    assert naive.relative(tile, expected) < case["tolerance"]


def test_sum_patches(case):
    probes = case["probes"].copy()
    expected = case["probes"].astype(complex)
    for b, corner in enumerate(case["corners"]):
        window = naive.patch(case["tile"], corner, case["m"])
        expected[case["which"][b]] += case["scales"][b] * window.conj() * case["fields"][b]
    sum_patches(case["fields"], case["tile"], case["which"], case["corners"], case["scales"], probes)
    assert naive.relative(probes, expected) < case["tolerance"]


@pytest.mark.parametrize("power", [1, 2])
def test_add_illumination(case, power):
    tile = np.ones(case["tile"].shape, case["scales"].dtype)
    expected = np.ones(tile.shape)
    for b, corner in enumerate(case["corners"]):
        intensity = (np.abs(case["probes"][case["which"][b]]) ** 2).sum(axis=0)
        naive.add_patch(expected, corner, (case["scales"][b] * intensity) ** power)
    add_illumination(case["probes"], case["which"], case["corners"], case["scales"], power, tile)
    assert naive.relative(tile, expected) < case["tolerance"]


def test_sum_object_intensity(case):
    total = np.ones((case["m"], case["m"]), case["scales"].dtype)
    expected = 1 + sum(
        scale * np.abs(naive.patch(case["tile"], corner, case["m"])) ** 2
        for corner, scale in zip(case["corners"], case["scales"], strict=True)
    )
    sum_object_intensity(case["tile"], case["corners"], case["scales"], total)
    assert naive.relative(total, expected) < case["tolerance"]


def test_adjoints_by_dot_products(case):
    rng = np.random.default_rng(5)
    other = naive.random_complex(rng, case["fields"].shape, case["fields"].dtype)
    forward = np.empty_like(other)
    multiply_patches(case["tile"], *arguments(case), forward)
    measured = np.vdot(forward, other)
    tile = np.zeros_like(case["tile"])
    add_patches(other, *arguments(case), tile)
    probes = np.zeros_like(case["probes"])
    sum_patches(other, case["tile"], case["which"], case["corners"], case["scales"], probes)
    bound = 1e-12 if forward.dtype == np.complex128 else 1e-5
    bound *= np.linalg.norm(forward) * np.linalg.norm(other)
    assert abs(measured - np.vdot(case["tile"], tile)) <= bound
    assert abs(measured - np.vdot(case["probes"], probes)) <= bound


@pytest.mark.skipif(
    not (numba.config.DISABLE_JIT or numba.config.BOUNDSCHECK),
    reason="bounds are checked in two further runs",
)
@pytest.mark.parametrize("corner", [(2, 0), (0, 2)])
def test_a_patch_outside_the_tile_is_noticed(corner):
    m = 3
    tile, probes = np.ones((4, 4), complex), np.ones((1, 1, m, m), complex)
    fields = np.empty((1, 1, m, m), complex)
    with pytest.raises(IndexError):
        multiply_patches(tile, probes, np.zeros(1, np.int64), np.array([corner]), np.ones(1), fields)
