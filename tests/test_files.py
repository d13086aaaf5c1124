"""Files appear whole or not at all, and a failed write says why in one line."""

import errno
import os
from pathlib import Path

import pytest
import tensorflow as tf

from pix2pix_tf.errors import SystemFault
from pix2pix_tf.files import explain_disk_faults, first_line, flush_to_disk, write_whole


@pytest.mark.parametrize("content", [b"\x00\xff\n", "façade 한국\n", b"", "x" * 100_000])
def test_what_is_written_is_read(tmp_path, content):
    path = tmp_path / "deep" / "하나" / "file"
    write_whole(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert [file.name for file in path.parent.iterdir()] == ["file"]


def test_newlines_are_kept_as_they_are(tmp_path):
    write_whole(tmp_path / "file", "a\nb\n")
    assert (tmp_path / "file").read_bytes() == b"a\nb\n"


def test_a_file_is_replaced(tmp_path):
    write_whole(tmp_path / "file", "a long first content")
    write_whole(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"


@pytest.mark.parametrize("failing", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_the_old_content_and_nothing_half_written(tmp_path, monkeypatch, failing, number):
    path = tmp_path / "file"
    path.write_text("old")

    def full(*_):
        raise OSError(number, os.strerror(number))

    if failing == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:
        monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(SystemFault) as caught:
        write_whole(path, "new")
    assert str(caught.value) == f"the disk is full: {path} could not be written; free space and run again"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_no_file_where_there_was_none(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SystemFault):
        write_whole(tmp_path / "file", "new")
    assert list(tmp_path.iterdir()) == []


def test_a_stop_in_the_middle_of_a_write_leaves_the_old_content(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", stop)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_place_of_a_folder_is_explained(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(SystemFault, match=r"taken.* could not be written: .*; give another place"):
        write_whole(tmp_path / "taken" / "file", "new")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "full"), "the disk is full: place"),
        (OSError(errno.EACCES, "Permission denied"), "place could not be written: Permission denied"),
        (OSError(errno.EROFS, "Read-only file system"), "Read-only file system"),
        (RuntimeError("Can't write (No space left on device)\nmore"), "the disk is full: place"),
        (RuntimeError("Unable to open\nmore"), "place could not be written: Unable to open;"),
        (tf.errors.ResourceExhaustedError(None, None, "x; No space left on device"), "the disk is full"),
        (tf.errors.PermissionDeniedError(None, None, "denied\nmore"), "place could not be written: denied;"),
    ],
)
def test_faults_of_every_library_become_one_line(error, said):
    with pytest.raises(SystemFault) as caught, explain_disk_faults(Path("place")):
        raise error
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [ValueError("a mistake"), KeyError("name"), SystemFault("one already")])
def test_other_errors_pass_as_they_are(error):
    with pytest.raises(type(error)) as caught, explain_disk_faults(Path("place")):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_files_and_folders_can_be_flushed(tmp_path, monkeypatch, kind):
    (tmp_path / "file").write_text("x")
    flushed = []
    monkeypatch.setattr(os, "fsync", lambda handle: flushed.append(os.fstat(handle).st_ino))
    path = tmp_path / "file" if kind == "file" else tmp_path
    flush_to_disk(path)
    assert flushed == [path.stat().st_ino]


@pytest.mark.parametrize(
    ("error", "line"),
    [(ValueError(" one\ntwo"), "one"), (ValueError(), "ValueError"), (OSError(" "), "OSError")],
)
def test_the_first_line_of_an_error(error, line):
    assert first_line(error) == line
