"""A run and its data set in an object store on loopback: trained, killed, continued and used from there."""

import json
import subprocess
import time

import pytest

from pix2pix_tf.runs import RunDirectory
from tests.end_to_end.commands import SMALL, command, environment, typed
from tests.end_to_end.test_resume import assert_same_weights
from tests.stores import object_store

RUN = "s3://bucket/runs/Fassaden 한글"


@pytest.fixture
def store(tmp_path):
    with object_store(tmp_path / "cache") as found:
        yield found


@pytest.mark.slow
def test_a_run_in_a_store_is_trained_continued_and_used(store, tmp_path, save_image, monkeypatch):
    for number in range(8):
        for split in ("train", "val"):
            seed = number + 8 * (split == "val")  # what was trained on is not evaluated
            save_image(tmp_path / f"pairs/{split}/{number}.png", 128, 64, seed=seed)
    store.put(str(tmp_path / "pairs"), "bucket/pairs", recursive=True)
    train = ("train", "--dataset", "s3://bucket/pairs", *SMALL, "--precision", "float32", "--log-every", 1)
    train += ("--checkpoint-every", 4, "--sample-every", 10, "--steps", 24, "--run-dir")
    undisturbed = typed(*train, tmp_path / "here", cwd=tmp_path)
    assert undisturbed.returncode == 0, undisturbed.stderr

    process = subprocess.Popen(command(*train, RUN), env=environment(), stderr=subprocess.DEVNULL)
    while process.poll() is None and not store.exists(f"{RUN}/checkpoints/step_000000008/state.index"):
        time.sleep(0.05)
    process.kill()
    process.wait()
    assert not store.exists(f"{RUN}/final.png")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another machine"))
    again = typed(*train, RUN, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "continuing after step" in again.stdout
    assert RUN in again.stdout
    kept = RunDirectory(tmp_path / "fetched")
    store.get(RUN, str(kept.path), recursive=True)
    assert_same_weights(tmp_path / "here", kept.path)
    assert [json.loads(line)["step"] for line in kept.metrics_file.open()] == list(range(1, 25))
    finished = typed(*train, RUN, cwd=tmp_path)
    assert (finished.returncode, "finished already" in finished.stdout) == (0, True), finished.stderr

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a third machine"))
    outputs = {}
    for model in (RUN, tmp_path / "here"):
        out = tmp_path / f"of {len(outputs)}"
        done = typed(
            "predict", model, tmp_path / "pairs/val/0.png", "--side-by-side", "--out", out, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        outputs[model] = (out / "0.png").read_bytes()
    assert outputs[RUN] == outputs[tmp_path / "here"]
    done = typed("evaluate", f"{RUN}@20", "--no-segmentation", "--out", tmp_path / "evaluated", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "SSIM" in done.stdout
    assert {each.name for each in (tmp_path / "evaluated").iterdir()} == {"metrics.json", "report.html"}
    refused = typed("export", RUN, "--formats", "tflite", cwd=tmp_path)
    assert (refused.returncode, "--out" in refused.stderr) == (2, True), refused.stderr
