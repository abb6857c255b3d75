import pytest

from ptyxrf.driver.data.units import bytes_text, length_text, percent_text, time_text


@pytest.mark.parametrize(
    ("metres", "text"),
    [(5e-7, "500 nm"), (1e-6, "1 µm"), (2e-5, "20 µm"), (1e-3, "1 mm"), (2e-10, "200 pm"), (7.3, "7.3 m")],
)
def test_lengths(metres, text):
    assert length_text(metres) == text


def test_digits_and_what_is_not_known():
    assert length_text(1.23456e-6, 4) == "1.235 µm"
    assert length_text(None) == "unknown"
    assert percent_text(None) == "none"


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2.5e9, "2.5 GB"), (4e15, "4e+03 TB")]
)
def test_bytes(count, text):
    assert bytes_text(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(90, "90 s"), (0.0123, "12.3 ms"), (2e-7, "0.2 µs")])
def test_times(seconds, text):
    assert time_text(seconds) == text


def test_percentages():
    assert percent_text(0.8333) == "83.3 %"
    assert percent_text(0.8333, ".0f") == "83 %"
