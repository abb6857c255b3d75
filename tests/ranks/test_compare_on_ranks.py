import pytest

import ptyxrf
from ptyxrf.driver.command import compare
from ptyxrf.driver.command.parser import make_parser


@pytest.fixture
def folder(comm, tmp_path_factory):
    """A folder that all ranks share."""
    return comm.bcast(tmp_path_factory.mktemp("halves") if comm.Get_rank() == 0 else None)


def test_halves_of_a_scan(comm, folder, capsys):
    """All ranks reconstruct, and the first tells and draws."""
    scan = ptyxrf.simulate(n=48, m=16, per_side=8, elements=1, photons=500.0, noise="counting")
    if comm.Get_rank() == 0:
        ptyxrf.write_scan(folder / "s.h5", scan)
    comm.Barrier()
    words = [
        "compare",
        "--halves",
        str(folder / "s.h5"),
        "--method",
        "ptychography",
        "--max-sweeps",
        "8",
        "--quiet",
    ]
    options = make_parser([compare.COMMAND]).parse_args(words)
    options.comm = comm
    assert options.run(options) == 0
    comm.Barrier()
    assert (folder / "s-halves.png").exists()
    assert ("half period" in capsys.readouterr().out) == (comm.Get_rank() == 0)
