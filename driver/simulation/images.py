"""Images as objects: reading grey values, and a specimen made of two of them."""

from __future__ import annotations

import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ptyxrf.driver.data.checks import integer_pair, one_of
from ptyxrf.driver.simulation.specimens import Specimen, scaled_to_unit

KINDS = ("magnitude-phase", "real-imaginary")
#: Luma of red, green and blue (ITU-R BT.601).
LUMA = np.array([0.299, 0.587, 0.114])

#: No stream of zlib makes more than this of a byte; and the channels of a PNG image by its type of colour.
MOST_EXPANSION, PNG_CHANNELS = 1032, {2: 3, 4: 2, 6: 4}


def from_images(
    first: ArrayLike,
    second: ArrayLike,
    *,
    kind: str = "magnitude-phase",
    shape: tuple[int, int] | None = None,
    name: str = "element 1",
) -> Specimen:
    """Make an object of two grey images, with one element w = Im z, mu = 1.

    The first image is binned (2 x 2, 3 x 3, ...) as far as it still covers `shape`. Both are cropped to their
    centre and normalised to [0, 1]. Two images of 512 x 512 pixels with shape (256, 256) give the composite
    of arXiv 2511.02153, section 4.5.

    Parameters
    ----------
    first : (rows, columns) array of float
        Magnitude, or real part.
    second : (rows, columns) array of float
        Phase in radians, or imaginary part.
    kind : {"magnitude-phase", "real-imaginary"}
        Meaning of the images. Both give 0 <= Im z <= 1, so that the concentrations are not negative.
    shape : (int, int), optional
        (n_rows, n_cols); default: the smaller of the two images along each axis.
    name : str
        Name of the element.

    Returns
    -------
    Specimen

    Raises
    ------
    ValueError
        An image is not grey, is smaller than `shape` or has no contrast; or the kind is unknown.
    """
    one_of("kind", kind, KINDS)
    images = [_grey_image("first", first), _grey_image("second", second)]
    if shape is None:
        rows, columns = np.minimum(images[0].shape, images[1].shape)
        shape = int(rows), int(columns)
    shape = integer_pair("shape", shape, 1)
    a = _fit("first", images[0], shape, bins=True)
    b = _fit("second", images[1], shape, bins=False)
    real_part, imaginary = (a * np.cos(b), a * np.sin(b)) if kind == "magnitude-phase" else (a, b)
    return Specimen(real_part, imaginary[None], np.ones(1), (name,))


def _grey_image(name: str, image: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(image, dtype=np.float64)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name}: expected a grey image (rows, columns), got shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite grey values, got NaN or infinity")
    return array


def _fit(name: str, image: NDArray, shape: tuple[int, int], *, bins: bool) -> NDArray[np.float64]:
    """Crop the centre of an image and normalise it; with `bins`, bin it first as far as it covers `shape`."""
    if image.shape[0] < shape[0] or image.shape[1] < shape[1]:
        raise ValueError(
            f"{name}: expected at least {shape[0]} x {shape[1]} pixels, "
            f"got {image.shape[0]} x {image.shape[1]}"
        )
    if bins:
        factor = min(image.shape[0] // shape[0], image.shape[1] // shape[1])
        rows, columns = image.shape[0] // factor, image.shape[1] // factor
        image = image[: rows * factor, : columns * factor]
        image = image.reshape(rows, factor, columns, factor).mean(axis=(1, 3))
    first = [(image.shape[i] - shape[i]) // 2 for i in (0, 1)]
    image = image[first[0] : first[0] + shape[0], first[1] : first[1] + shape[1]]
    if not np.ptp(image) > 0:
        raise ValueError(
            f"{name}: expected an image with some contrast to normalise, got {image.flat[0]} everywhere"
        )
    return scaled_to_unit(image)


def read_image(path: str | os.PathLike[str]) -> NDArray[np.float64]:
    """Read an image as grey values from 0 to 1.

    matplotlib reads PNG, Pillow other formats. Colours are weighted as in ITU-R BT.601; transparency is
    ignored. Integers are divided by the largest value of their type. Images of floating-point numbers or
    32-bit integers have no such value: they are scaled to reach from 0 to 1.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    (rows, columns) array of float64
        Grey values in [0, 1].

    Raises
    ------
    ValueError
        The file is not an image.
    ImportError
        The format needs Pillow, which is not installed.
    FileNotFoundError
        There is no such file.
    """
    path = Path(path)
    if path.suffix.lower() == ".png":
        from matplotlib.image import imread

        with _as_image(path, "a PNG image"):
            _check_png_size(path)
            return _grey(np.asarray(imread(path), dtype=np.float64))
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            f"{path.name}: images other than PNG need Pillow: pip install 'ptyxrf[images]'"
        ) from error
    with _as_image(path, "an image"), Image.open(path) as image:
        mode = image.mode
        grey = mode in ("L", "F", "I") or mode.startswith("I;16")
        array = np.asarray(image if grey else image.convert("RGB"))
    if mode in ("F", "I"):
        if not np.isfinite(array).all():
            raise ValueError(f"path: expected finite grey values, got NaN or infinity in {path}")
        values = array.astype(np.float64)
        return scaled_to_unit(values) if np.ptp(values) > 0 else np.zeros(values.shape)
    return _grey(array / np.iinfo(array.dtype).max)


def _check_png_size(path: Path) -> None:
    """Refuse more pixels than the file can hold, before memory is taken (PNG specification, 11.2.2)."""
    with path.open("rb") as file:
        head = file.read(26)
    if len(head) == 26:
        width, height, depth, colour = struct.unpack(">IIBB", head[16:])
        there = width * height * depth * PNG_CHANNELS.get(colour, 1) / 8
        if there > MOST_EXPANSION * path.stat().st_size:
            raise ValueError(f"{width} x {height} pixels cannot be in a file of {path.stat().st_size} bytes")


@contextmanager
def _as_image(path: Path, what: str) -> Iterator[None]:
    """Turn any exception of a library for a damaged file, or one that is no image, into a ValueError."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of an image that claims to be huge, and raises for larger ones
            warnings.filterwarnings("error", message=".*decompression bomb")
            yield
    except FileNotFoundError:
        raise
    except MemoryError:
        raise ValueError(f"path: expected {what}, got {path}: no memory for what it says to hold") from None
    except Exception as error:
        raise ValueError(f"path: expected {what}, got {path}: {error}") from error


def _grey(array: NDArray) -> NDArray[np.float64]:
    """Return the grey of an image of any number of channels; the last of 2 or of 4 is its alpha."""
    if array.ndim == 2:
        return array
    return array[..., 0].copy() if array.shape[2] < 3 else array[..., :3] @ LUMA
