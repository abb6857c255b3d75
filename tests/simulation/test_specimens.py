import builtins

import numpy as np
import pytest

from ptyxrf.driver.simulation.images import from_images, read_image
from ptyxrf.driver.simulation.specimens import Specimen, cells, siemens_star


@pytest.mark.parametrize("draw", [cells, siemens_star])
@pytest.mark.parametrize(("shape", "n_elements"), [((96, 130), 3), ((62, 62), 1), ((31, 20), 2)])
def test_drawn_specimens(draw, shape, n_elements):
    specimen = draw(shape, n_elements=n_elements, seed=3)
    assert specimen.shape == shape
    assert specimen.elements.shape == (n_elements, *shape)
    assert len(set(specimen.element_names)) == n_elements
    assert len(set(specimen.attenuation)) == n_elements
    assert specimen.elements.min() >= 0
    assert (specimen.elements.max(axis=(1, 2)) > 0.1).all()
    z = specimen.transmission()
    assert z.real.min() >= 0
    assert z.real.max() <= 1
    assert z.imag.min() >= 0
    assert z.imag.max() == pytest.approx(1)
    # the two parts have features in common and features of their own
    assert 0.3 < abs(np.corrcoef(z.real.ravel(), z.imag.ravel())[0, 1]) < 0.99


@pytest.mark.parametrize("draw", [cells, siemens_star])
def test_elements_differ_but_share_pixels(draw):
    maps = draw((128, 128), n_elements=3).elements
    for e in range(3):
        for other in range(e):
            assert np.corrcoef(maps[e].ravel(), maps[other].ravel())[0, 1] < 0.95
            assert np.sum((maps[e] > 0.05) & (maps[other] > 0.05)) > 100


@pytest.mark.parametrize("draw", [cells, siemens_star])
def test_edges_are_sharp(draw):
    w = draw((128, 128)).elements[0]
    assert np.abs(np.diff(w, axis=0)).max() > 0.2


@pytest.mark.parametrize("draw", [cells, siemens_star])
def test_seeds(draw):
    a, b, c = (draw((40, 40), seed=seed).transmission() for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_link_offset_adds_to_the_imaginary_part():
    specimen = Specimen(np.ones((2, 2)), np.full((2, 2, 2), 3.0), np.array([0.5, 2.0]), ("a", "b"))
    np.testing.assert_allclose(specimen.transmission(-1.0), np.full((2, 2), 1 + 6.5j))


@pytest.mark.parametrize("draw", [cells, siemens_star])
def test_drawn_specimens_refuse(draw):
    with pytest.raises(ValueError, match="shape"):
        draw((10, 0))
    with pytest.raises(ValueError, match="n_elements"):
        draw((10, 10), n_elements=0)


def test_star_refuses_fewer_spokes_than_elements():
    with pytest.raises(ValueError, match="spokes"):
        siemens_star((10, 10), n_elements=4, spokes=3)


def test_specimen_refuses():
    good = {
        "real_part": np.ones((3, 4)),
        "elements": np.ones((2, 3, 4)),
        "attenuation": [1, 2],
        "element_names": ("a", "b"),
    }
    Specimen(**good)
    for name, bad in {
        "real_part": np.ones(3),
        "elements": np.ones((2, 4, 3)),
        "attenuation": [1.0],
        "element_names": ("a",),
    }.items():
        with pytest.raises(ValueError, match=name):
            Specimen(**{**good, name: bad})
    with pytest.raises(ValueError, match="real_part"):
        Specimen(**{**good, "real_part": np.full((3, 4), np.nan)})


def test_first_image_is_binned_and_second_is_cropped():
    rng = np.random.default_rng(0)
    first, second = rng.uniform(3, 9, (16, 16)), rng.uniform(-2, 5, (16, 16))
    specimen = from_images(first, second, kind="real-imaginary", shape=(8, 8))
    binned = np.array(
        [[first[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean() for j in range(8)] for i in range(8)]
    )
    centre = second[4:12, 4:12]
    np.testing.assert_allclose(specimen.real_part, (binned - binned.min()) / (binned.max() - binned.min()))
    np.testing.assert_allclose(specimen.elements[0], (centre - centre.min()) / (centre.max() - centre.min()))
    assert specimen.attenuation.tolist() == [1.0]


def test_sizes_that_differ_meet_at_the_smaller():
    rng = np.random.default_rng(0)
    assert from_images(rng.random((20, 20)), rng.random((10, 12))).shape == (10, 12)
    assert from_images(rng.random((9, 20)), rng.random((10, 12))).shape == (9, 12)


def test_magnitude_and_phase():
    ramp = np.linspace(0, 1, 12).reshape(3, 4)
    z = from_images(ramp, ramp[::-1]).transmission()
    np.testing.assert_allclose(np.abs(z), ramp)
    np.testing.assert_allclose(z, ramp * np.exp(1j * ramp[::-1]))
    assert z.imag.min() >= 0


def test_images_refuse():
    ramp = np.arange(16.0).reshape(4, 4)
    with pytest.raises(ValueError, match="kind"):
        from_images(ramp, ramp, kind="polar")
    with pytest.raises(ValueError, match="first: expected a grey"):
        from_images(np.zeros((4, 4, 3)), ramp)
    with pytest.raises(ValueError, match="second: expected at least 5 x 4"):
        from_images(np.arange(20.0).reshape(5, 4), ramp, shape=(5, 4))
    with pytest.raises(ValueError, match="second: expected an image with some contrast"):
        from_images(ramp, np.ones((4, 4)))
    with pytest.raises(ValueError, match="first: expected finite"):
        from_images(np.full((4, 4), np.nan), ramp)


def test_read_png_and_tif(tmp_path):
    image = pytest.importorskip("PIL.Image")
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
    colour = np.stack([grey, grey // 2, 255 - grey], axis=-1)
    luma = colour @ [0.299, 0.587, 0.114] / 255
    for suffix, tolerance in ((".png", 1e-6), (".tif", 1e-6)):
        image.fromarray(grey).save(tmp_path / f"grey{suffix}")
        image.fromarray(colour).save(tmp_path / f"colour{suffix}")
        read = read_image(tmp_path / f"grey{suffix}")
        assert read.dtype == np.float64
        np.testing.assert_allclose(read, grey / 255, atol=tolerance)
        np.testing.assert_allclose(read_image(str(tmp_path / f"colour{suffix}")), luma, atol=tolerance)


def test_read_deep_and_floating_images(tmp_path):
    image = pytest.importorskip("PIL.Image")
    deep = np.array([[0, 1000], [65535, 30000]], dtype=np.uint16)
    floating = np.array([[-3.0, 1.0], [5.0, 0.0]], dtype=np.float32)
    image.fromarray(deep).save(tmp_path / "deep.tif")
    image.fromarray(floating).save(tmp_path / "floating.tif")
    np.testing.assert_allclose(read_image(tmp_path / "deep.tif"), deep / 65535)
    np.testing.assert_allclose(read_image(tmp_path / "floating.tif"), (floating + 3) / 8)


@pytest.mark.parametrize("name", ["text.png", "text.tif"])
def test_read_refuses_what_is_no_image(tmp_path, name):
    (tmp_path / name).write_text("not an image at all, whatever its name says")
    with pytest.raises(ValueError, match="path: expected"):
        read_image(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / f"missing-{name}")


def test_read_says_that_pillow_is_missing(tmp_path, monkeypatch):
    real_import = builtins.__import__

    def no_pillow(name, *args, **kwargs):
        if name.partition(".")[0] == "PIL":
            raise ImportError("No module named 'PIL'")
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_pillow)
    with pytest.raises(ImportError, match=r"ptyxrf\[images\]"):
        read_image(tmp_path / "picture.tif")


def test_an_image_that_says_to_hold_too_much_is_named(tmp_path, monkeypatch):
    from matplotlib import image

    def greedy(path):
        raise MemoryError

    monkeypatch.setattr(image, "imread", greedy)
    (tmp_path / "large.png").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"path: expected a PNG image, got .*large\.png: no memory"):
        read_image(tmp_path / "large.png")
