"""What a run directory may be continued with."""

import shutil

import pytest

from pix2pix_tf.errors import RunError
from pix2pix_tf.runs import RunDirectory
from pix2pix_tf.training.start import prepare
from pix2pix_tf.training.train import _facts_to_compare
from tests.conftest import small_config


@pytest.fixture
def run(tiny_run, tmp_path):
    return RunDirectory(shutil.copytree(tiny_run.path, tmp_path / "run"))


@pytest.mark.parametrize("lost", ["folder", "content"])
def test_run_without_its_checkpoints_is_refused(run, lost):
    shutil.rmtree(run.checkpoints)
    if lost == "content":
        run.checkpoints.mkdir()
        run.metrics_file.write_text('{"step": 21}\n')
    with pytest.raises(RunError, match="checkpoints"):
        prepare(small_config(run.path), run)


def test_run_without_a_first_checkpoint_may_restart(run):
    for checkpoint in run.checkpoints.iterdir():
        shutil.rmtree(checkpoint)
    run.metrics_file.write_text('{"step": 10}\n')
    config = small_config(run.path, learning_rate=1e-3)
    assert prepare(config, run).config == config


def test_a_file_is_no_run_directory(tmp_path):
    place = tmp_path / "file"
    place.touch()
    with pytest.raises(RunError, match="file"):
        prepare(small_config(place), RunDirectory(place))


def test_hosts_may_have_different_init_from_paths():
    first, second = (small_config(None, init_from=f"{place}/run") for place in ("/home/one", "/mnt/two"))
    assert _facts_to_compare(first) == _facts_to_compare(second)
    assert _facts_to_compare(first) != _facts_to_compare(
        small_config(None, init_from="/home/one/run", seed=2)
    )
