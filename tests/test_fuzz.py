"""A little of `tests/campaigns/fuzz.py`: hostile files are read, or refused in a line that names them."""

import random
import sys

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is read from /proc"),
]


@pytest.fixture
def problems(monkeypatch, tmp_path):
    """Tries some inputs of a way; returns what was wrong."""
    monkeypatch.chdir(tmp_path)
    from tests.campaigns import fuzz, ways  # not on Windows

    def problems(name, count):
        [way] = [way for way in ways.WAYS if way.name == name]
        folder = tmp_path / "fuzz"
        folder.mkdir()
        make = way.prepare(folder)
        trials = (make(random.Random(number)) for number in range(count))
        found = {(trial.kind, trial.change): fuzz.tried(trial).problem for trial in trials}
        return {what: problem for what, problem in found.items() if problem}

    return problems


@pytest.mark.parametrize("name", ["reader", "archive"])
def test_mutated_files_are_read_or_refused_in_a_line(name, problems):
    assert not problems(name, 100)


def test_a_mutated_run_is_opened_or_refused_in_a_line(tiny_run, tmp_path, problems):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "run").symlink_to(tiny_run.path)
    assert not problems("run directory", 60)
