"""Output files are whole or not there, and an unwritable path is found before any work."""

import errno
import os
import stat

import pytest

from ptyxrf.driver.files.whole_file import NO_ROOM, check_space, check_writable, reserve, whole_file


def test_new_file_appears_at_the_end(tmp_path):
    path = tmp_path / "out.h5"
    with whole_file(path) as temporary:
        temporary.write_bytes(b"new")
        assert temporary.parent == tmp_path
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["out.h5"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_old_file_stays_when_the_body_fails(tmp_path, error):
    path = tmp_path / "out.h5"
    path.write_bytes(b"old")
    with pytest.raises(error), whole_file(path) as temporary:
        temporary.write_bytes(b"half")
        assert path.read_bytes() == b"old"
        raise error
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out.h5"]


def test_permissions_and_links_of_the_old_file_stay(tmp_path):
    path, link = tmp_path / "out.h5", tmp_path / "latest.h5"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    with whole_file(link) as temporary:
        temporary.write_bytes(b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_permissions_of_a_new_file_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        with whole_file(tmp_path / "out.h5") as temporary:
            temporary.write_bytes(b"new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.h5").stat().st_mode) == 0o640


def test_check_leaves_no_trace(tmp_path):
    path = tmp_path / "out.h5"
    check_writable(path)
    assert os.listdir(tmp_path) == []
    path.write_bytes(b"old")
    check_writable(path)
    assert path.read_bytes() == b"old"


def test_unwritable_paths_are_named(tmp_path):
    missing = tmp_path / "nowhere" / "out.h5"
    with pytest.raises(ValueError, match=r"nowhere/out\.h5: cannot be written, there is no folder"):
        check_writable(missing)
    with pytest.raises(ValueError, match="it is a folder"):
        check_writable(tmp_path)
    file = tmp_path / "file"
    file.write_bytes(b"")
    with pytest.raises(ValueError, match=r"file/out\.h5: cannot be written"):
        check_writable(file / "out.h5")
    file.chmod(0o444)
    with pytest.raises(ValueError, match="file there is read-only"):
        check_writable(file)
    with pytest.raises(ValueError, match="not a regular file"):
        check_writable("/dev/null")


@pytest.mark.parametrize("output", ["first", "second/out.h5"])
def test_links_that_lead_to_each_other(tmp_path, output):
    """In some versions of Python that is a RuntimeError."""
    (tmp_path / "first").symlink_to("second")
    (tmp_path / "second").symlink_to("first")
    with pytest.raises(
        ValueError, match=rf"{output}: cannot be written \(Too many levels of symbolic links\)"
    ):
        check_writable(tmp_path / output)


def test_a_folder_that_takes_no_files_is_found(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ValueError, match=r"out\.h5: cannot be written, no file can be made in .*Permission"):
        check_writable(tmp_path / "out.h5")


def test_room_on_the_disk(tmp_path):
    check_space(tmp_path, 0)
    with pytest.raises(ValueError, match=r"cannot be written, no space left: 1e\+15 MB needed, .* MB free"):
        check_space(tmp_path, 10**21)


def test_room_is_taken_before_writing(tmp_path, monkeypatch):
    path = tmp_path / "out.h5"
    path.write_bytes(b"begun")
    reserve(path, 100_000)
    assert path.read_bytes() == b"begun" + bytes(99_995)
    assert path.stat().st_blocks * 512 >= 100_000

    def fail(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "posix_fallocate", fail)
    for number in NO_ROOM:
        with pytest.raises(ValueError, match=rf"out.h5: cannot be written \({os.strerror(number)}\)"):
            reserve(path, 1)
    number = errno.EOPNOTSUPP  # of the file system: nothing is known
    reserve(path, 1)
