"""What `ptyxrf plan --expected` prints."""

from __future__ import annotations

from ptyxrf.driver.uncertainty.expected import ExpectedErrors

#: Head and format of the columns before the errors.
COLUMNS = (("step", ".3g"), ("dwell", ".3g"), ("dose", ".3g"))
UNITS = {"phase": "rad", "positions": "pixels", "amplitude": ""}


def expected_text(expected: ExpectedErrors) -> str:
    """Return expected errors as a table, a line for each combination."""
    names = list(expected.table[0].errors)
    heads = [name for name, _ in COLUMNS] + ["positions", "counts"]
    heads += [f"{name} {UNITS.get(name, '%')}".strip() for name in names]
    lines = []
    for one in expected.table:
        line = [format(getattr(one.choice, name), form) for name, form in COLUMNS]
        line += [f"{one.positions:,}", f"{one.counts:.3g}"]
        line += [f"{one.errors[name] * (1 if name in UNITS else 100):.2g}" for name in names]
        lines.append(line)
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    table = [
        "  ".join(word.rjust(width) for word, width in zip(row, widths, strict=True))
        for row in [heads, *lines]
    ]
    return "\n".join(
        [
            "Expected errors over the illuminated pixels: medians; of elements root mean squares, relative "
            "to their maps.",
            expected.table[0].deviations.meaning,
            "step in pixels, dwell relative to the scan's, dose in photons a pixel of the object, counts in "
            "photons a pixel of a pattern",
            "",
            *table,
        ]
    )
