"""The campaign of tests/campaigns/faults.py in short: processes killed in the middle of file operations."""

import json
import signal
import subprocess
import sys

import pytest

from pix2pix_tf.files import write_whole
from tests.campaigns import injector
from tests.end_to_end.commands import ROOT, environment

pytestmark = pytest.mark.skipif(bool(injector.missing()), reason=injector.missing())


def test_killed_write_leaves_the_old_or_new_file(tmp_path):
    path, kills = tmp_path / "folder" / "file", 0
    while True:
        path.parent.mkdir(exist_ok=True)
        path.write_text("old")
        operations = []
        child = injector.Child(lambda: write_whole(path, "new") or 0, tmp_path)

        def kill(operation, child=child, operations=operations, last=kills + 1):
            operations.append(operation.kind)
            if len(operations) == last:
                child.send(signal.SIGKILL)
            return 0

        if child.watch(kill) == 0:
            break
        kills += 1
        assert path.read_text() == "old"
        write_whole(path, "new")  # what goes on is not hindered by what is left
        assert [file.name for file in path.parent.iterdir()] == ["file"]
    assert path.read_text() == "new"
    assert operations == ["mkdir", "open", "write", "fsync", "rename"]
    assert kills == len(operations)


@pytest.mark.slow
def test_checkpoints_survive_kills_in_their_writing():
    command = [sys.executable, "-m", "tests.campaigns.faults", "--part", "kill_checkpoints", "--every", "13"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=ROOT)
    assert done.returncode == 0, done.stderr
    [tally] = map(json.loads, done.stdout.splitlines())
    assert tally["injected"] >= 5
    assert not tally["lost"] + tally["wrong"] + tally["half"]
