"""Which array of some files is what, by name, shape and unit: what a recipe leaves open."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ptyxrf.driver.preparation.input_files import InputFiles, NamedArray, natural, series

#: Least edge of a frame.
LEAST_EDGE = 8
#: Words in the names of arrays of frames that are not the measured ones.
NOT_FRAMES = re.compile(
    r"mask|dark|flat|background|weight|valid|bad_?pix|gain|probe|object|illumination|xrf|fluo|roi|spectr|mca|maps"
)
WORDS = {
    "mask": re.compile(r"mask|bad_?pixels?|valid|good_?pixels?|defect"),
    "dark": re.compile(r"dark|(^|_)background"),
    "flat": re.compile(r"flat"),
    "energy": re.compile(r"energy|wave_?length|lambda"),
    "distance": re.compile(r"distance|det_?dist|(^|_)z_m$|camera_?length"),
    "detector_pixel": re.compile(
        r"pix(el)?_?size|ccd_?pixel|detector_?pixel|[xy]_pixel|pix_size|^psize$|pitch"
    ),
    "monitor": re.compile(r"monitor|ion_?ch|(^|_)(i0|ic|us_ic|izero)($|_)"),
    "positions": re.compile(r"position|points|translation|coord|motor|(^|_)(xy|yx|scan)($|_)"),
    "probe": re.compile(r"probe|illumination"),
    "frame_index": re.compile(r"ind(ex|ices|exes)$"),
    "maps": re.compile(r"xrf|fluo|element|maps|counts|roi"),
    "map_names": re.compile(r"name|element|channel|label"),
    "live_time": re.compile(r"live_?time|elt"),
    "dead_time": re.compile(r"dead_?time"),
}
#: What an object or a result calls its own is none of the detector's.
OBJECT_PIXEL = re.compile(r"object|recon|probe")


def coordinate(letter: str, others: str) -> re.Pattern[str]:
    """Return what names of an axis look like."""
    before = "s|p|sam|pos|motor|piezo|stage|fzp|lab"
    after = "pos|position|axis|motor|enc|m|mm|um|nm|px|pixels?|coords?|values?|translation"
    return re.compile(rf"(^|_)({before})?_?({letter}|{others})(_?({after}))?$")


COLUMNS = coordinate("x", "cols?|columns?|horizontal|hor|horz")
ROWS = coordinate("y", "rows?|vertical|vert|ver")


def name_of(array: NamedArray) -> str:
    """Return the last part of a key, in small letters and with underscores."""
    last = re.split(r"[/@]", array.key)[-1]
    return re.sub(r"[^a-z0-9]+", "_", last.lower()).strip("_")


class Guesses:
    """What the arrays of some files are.

    Parameters
    ----------
    files : InputFiles
    """

    def __init__(self, files: InputFiles) -> None:
        self.arrays = list(files.arrays())

    def frames(self) -> NamedArray | None:
        """Return the largest stack of frames; stacks that are numbered, or files of one frame, as one."""
        stacks = [one for one in self.arrays if _is_stack(one)]
        if not stacks:
            singles = [one for one in self._numbers(2) if min(one.shape) >= LEAST_EDGE and not _named(one)]
            groups = _grouped(
                singles, lambda one: (one.path.parent, one.path.suffix, name_stem(one), one.shape)
            )
            whole = [group for group in groups if len(group) > 3]
            return series(max(whole, key=len)) if whole else None
        groups = _grouped(stacks, lambda one: (name_stem(one), one.shape[-2:], _parent(one)))

        def worth(group: Sequence[NamedArray]) -> tuple[bool, float]:
            named = any(NOT_FRAMES.search(one.key.lower()) for one in group)
            return not named, float(sum(np.prod(one.shape) for one in group))

        best = max(groups, key=worth)
        if len(best) == 1 or len(best[0].shape) == 4:
            return best[0]
        return series(sorted(best, key=lambda one: natural(f"{one.path}::{one.key}")))

    def _numbers(self, dimensions: int) -> Iterator[NamedArray]:
        return (
            one for one in self.arrays if len(one.shape) == dimensions and one.values.dtype.kind in "fiub"
        )

    def _named(self, role: str, arrays: Iterator[NamedArray]) -> NamedArray | None:
        """Return the array whose name says its role best: by its last part, or by all of it."""
        arrays_here = list(arrays)
        for name in (name_of, lambda one: one.key.lower()):
            for one in arrays_here:
                if WORDS[role].search(name(one)):
                    return one
        return None

    def on_frame(self, role: str, shape: tuple[int, int]) -> NamedArray | None:
        """Return a mask, a flat or dark frames, of the shape of a frame."""
        fit = (one for one in self.arrays if one.shape[-2:] == shape and one.values.dtype.kind in "fiub"
               and len(one.shape) <= 3)  # fmt: skip
        return next((one for one in fit if WORDS[role].search(name_of(one))), None)

    def number(self, role: str) -> NamedArray | None:
        """Return an array of one number, or of one that repeats."""
        small = (
            one
            for one in self.arrays
            if one.values.dtype.kind in "fiu"
            and int(np.prod(one.shape)) >= 1
            and len(one.shape) <= 1
            and not OBJECT_PIXEL.search(name_of(one))
            and not OBJECT_PIXEL.search(one.key.lower().rpartition("@")[0])
        )
        named = [one for one in small if WORDS[role].search(name_of(one)) and _is_constant(one)]
        if role == "energy":  # of several the shortest name: the monochromator's, not a line's
            named.sort(key=lambda one: len(name_of(one)))
        return named[0] if named else None

    def each(self, role: str, count: int) -> NamedArray | None:
        """Return an array of a number for each of so many frames."""
        fit = (one for one in self._numbers(1) if one.shape == (count,))
        return next((one for one in fit if WORDS[role].search(name_of(one))), None)

    def positions(self, fits: Callable[[int], bool]) -> NamedArray | None:
        """Return positions in one array, whose number fits that of the frames."""
        tables = [
            one
            for one in self.arrays
            if one.values.dtype.kind in "fiu" and is_table(one.shape[number_of_ones(one.shape) :], fits)
        ]
        named = [one for one in tables if WORDS["positions"].search(name_of(one))]
        whole_files = [one for one in tables if one.key == one.path.name]
        return next(iter([*named, *whole_files, *tables]), None)

    def axes(self, fits: Callable[[int, int], bool]) -> tuple[NamedArray, NamedArray] | None:
        """Return rows and columns of positions in two arrays; of several pairs, two from one group."""
        lines = [one for one in self.arrays if one.values.dtype.kind in "fiu" and len(one.shape) in (1, 2)]
        rows, columns = ([one for one in lines if name.search(name_of(one))] for name in (ROWS, COLUMNS))
        pairs = [(r, c) for r in rows for c in columns if fits(int(np.prod(r.shape)), int(np.prod(c.shape)))]
        pairs = [
            (r, c) for r, c in pairs if not re.search(r"maps|xrf|fluo|roi", (r.key + c.key).lower())
        ] or pairs
        return min(pairs, key=lambda pair: _parent(pair[0]) != _parent(pair[1]), default=None)

    def probe(self) -> NamedArray | None:
        """Return a complex array that a name says is the probe."""
        fit = (
            one
            for one in self.arrays
            if one.values.dtype.kind == "c" and len(one.shape) >= 2 and one.shape[-1] == one.shape[-2] > 1
        )
        return self._named("probe", fit)

    def maps(self, count: int) -> NamedArray | None:
        """Return fluorescence: at so many positions, or as maps."""
        named = [
            one
            for one in self.arrays
            if one.values.dtype.kind in "fiu" and re.search(r"xrf|fluo|element", one.key.lower())
            and not WORDS["live_time"].search(name_of(one))
        ]  # fmt: skip
        at_positions = (one for one in named if len(one.shape) == 2 and count in one.shape)
        images = (one for one in named if len(one.shape) == 3)
        return next(at_positions, None) or next(images, None)

    def texts(self, count: int) -> NamedArray | None:
        """Return the names of so many elements."""
        fit = (one for one in self.arrays if one.values.dtype.kind in "SOU" and one.shape == (count,))
        return self._named("map_names", fit)


def number_of_ones(shape: tuple[int, ...]) -> int:
    """Return how many leading axes of length one an array has."""
    return next((k for k, size in enumerate(shape) if size != 1), len(shape))


def is_table(shape: tuple[int, ...], fits: Callable[[int], bool]) -> bool:
    """Return whether an array of a shape may have positions, as many as fit, in rows or in columns."""
    return len(shape) == 2 and any(shape[k] in (2, 3) and fits(shape[1 - k]) for k in (1, 0))


def name_stem(array: NamedArray) -> str:
    """Return a key without the numbers at its end; of files of one array the name of the file."""
    return re.sub(r"\d+(\.\w+)?$", "", array.key)


def _parent(array: NamedArray) -> tuple[str, str]:
    return str(array.path), re.split(r"[/@]", array.key)[-2] if re.search(r"[/@]", array.key) else ""


def _is_stack(array: NamedArray) -> bool:
    return (
        len(array.shape) in (3, 4)
        and array.values.dtype.kind in "fiu"
        and min(array.shape[-2:]) >= LEAST_EDGE
        and not re.search(r"mask|dark|flat", name_of(array))
    )


def _named(array: NamedArray) -> bool:
    return any(WORDS[role].search(name_of(array)) for role in ("mask", "dark", "flat", "positions"))


def _is_constant(array: NamedArray) -> bool:
    values = np.ravel(array.read())
    return bool(
        np.isfinite(values).all() and np.allclose(values, values[0], rtol=1e-3, atol=0) and values[0] != 0
    )


def _grouped(arrays: Sequence[NamedArray], key: Callable[[NamedArray], object]) -> list[list[NamedArray]]:
    groups: dict[object, list[NamedArray]] = {}
    for one in arrays:
        groups.setdefault(key(one), []).append(one)
    return list(groups.values())
