"""A history is a list of records, with columns."""

import math

import numpy as np
import pytest

from ptyxrf.driver.data.history import History, IterationRecord

RECORDS = [
    IterationRecord(0, 12.5, gradients=1, note="start", errors={"mse": 0.5}),
    IterationRecord(1, 3.25, gradients=4, note="quasi-Newton"),
    IterationRecord(2, 1.0, gradients=9, note="quasi-Newton", errors={"mse": 0.1}),
]


def test_records_and_slices_are_those_of_a_list():
    history = History(RECORDS)
    assert history == RECORDS and history[-1] is RECORDS[2] and len(history) == 3
    assert isinstance(history[1:], History) and history[1:] == RECORDS[1:]


def test_columns():
    history = History(RECORDS)
    np.testing.assert_array_equal(history["loss"], [12.5, 3.25, 1.0])
    assert history["loss"].dtype == np.float64 and history["gradients"].dtype.kind == "i"
    assert list(history["note"]) == ["start", "quasi-Newton", "quasi-Newton"]
    np.testing.assert_array_equal(history[1:]["mse"], [math.nan, 0.1])
    with pytest.raises(KeyError, match=r"speed: expected one of iteration, loss, .* or the name of an error"):
        history["speed"]


def test_a_table_has_all_numbers():
    table = History(RECORDS).to_numpy()
    assert {"iteration", "loss", "sweeps", "mse"} <= set(
        table.dtype.names
    ) and "note" not in table.dtype.names
    np.testing.assert_array_equal(table["loss"], [12.5, 3.25, 1.0])
    np.testing.assert_array_equal(table["mse"], [0.5, math.nan, 0.1])
    assert len(History().to_numpy()) == 0
