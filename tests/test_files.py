"""Files appear whole or not at all, and a failed write says why in one line."""

import errno
import os
from pathlib import Path

import pytest
import tensorflow as tf

from pix2pix_tf.errors import SystemFault, UserError
from pix2pix_tf.files import explain_disk_faults, write_whole


@pytest.mark.parametrize("content", [b"\x00\xff\n", "façade 한국\na\nb\n", b"", "x" * 100_000])
def test_a_written_file_replaces_the_old_one(tmp_path, content):
    path = tmp_path / "deep" / "하나" / "file"
    for each in ("a long first content", content):
        write_whole(path, each)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert [file.name for file in path.parent.iterdir()] == ["file"]


FULL = "the disk is full: .*file could not be written; free space and run again"


@pytest.mark.parametrize(
    ("module", "name", "fault", "expected", "message"),
    [
        (os, "fsync", OSError(errno.ENOSPC, "full"), SystemFault, FULL),
        (Path, "replace", OSError(errno.EDQUOT, "full"), SystemFault, FULL),
        (os, "fsync", KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_a_failed_write_leaves_the_old_content(tmp_path, monkeypatch, module, name, fault, expected, message):
    path = tmp_path / "file"
    path.write_text("old")

    def fail(*_):
        raise fault

    monkeypatch.setattr(module, name, fail)
    with pytest.raises(expected, match=message):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_place_of_a_folder_is_explained(tmp_path):
    (tmp_path / "taken").write_text("")
    for place in ("taken/file", "taken/folder/file"):
        with pytest.raises(UserError, match=r"taken is a file.*; give another place"):
            write_whole(tmp_path / place, "new")


@pytest.mark.parametrize(
    ("error", "expected"),
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
def test_write_errors_of_every_library_become_one_line(error, expected):
    with pytest.raises(SystemFault) as caught, explain_disk_faults(Path("place")):
        raise error
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [ValueError("a mistake"), KeyError("name"), SystemFault("one already")])
def test_other_errors_are_not_changed(error):
    with pytest.raises(type(error)) as caught, explain_disk_faults(Path("place")):
        raise error
    assert caught.value is error
