import io

from ptyxrf.driver.command.progress import progress, record_line
from ptyxrf.driver.data.history import IterationRecord

RECORDS = [
    IterationRecord(0, 12.5, sweeps=1.0, note="start"),
    IterationRecord(1, 3.25, gradient_norm=0.5, inner_steps=4, sweeps=7.5, step=1.0, errors={"mse": 0.01}),
]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown(stream, **options):
    with progress(stream=stream, **options) as callback:
        answers = [callback(record) for record in RECORDS]
    assert not any(answers)
    return stream.getvalue()


def test_a_log_gets_one_line_per_iteration():
    lines = shown(io.StringIO(), label="joint").splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("joint: iteration    0")
    assert "loss 3.25" in lines[1]
    assert "mse 1.000e-02" in lines[1]
    assert "\r" not in "".join(lines)


def test_a_terminal_gets_one_live_line():
    text = shown(Terminal(), max_sweeps=10, max_iterations=100)
    assert "75%" in text
    assert "loss 3.25" in text
    assert "\r" in text
    assert text.count("\n") == 1


def test_without_a_budget_the_line_still_lives():
    assert "iteration 1" in shown(Terminal())


def test_quiet():
    assert shown(io.StringIO(), quiet=True) == ""
    assert shown(Terminal(), quiet=True) == ""


def test_the_default_stream_is_standard_error(capsys):
    with progress() as callback:
        callback(RECORDS[1])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == record_line(RECORDS[1]) + "\n"
