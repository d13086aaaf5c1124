"""The notebooks run offline at a small size and show images while they train."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pix2pix_tf.data.procedural.painting import draw_pair

nbclient = pytest.importorskip("nbclient", reason="the extra docs is not installed")
nbformat = pytest.importorskip("nbformat", reason="the extra docs is not installed")
pytest.importorskip("ipykernel", reason="the extra docs is not installed")

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
SMALL = {"IMAGE_SIZE": (64, 64), "STEPS": 4, "SHOW_EVERY": 2, "BASE_FILTERS": 8}


class Client(nbclient.NotebookClient):
    """Collects the images that each cell shows, including those that it replaces later."""

    def process_message(self, message, cell, cell_index):
        shown = message["content"].get("data", {}).get("image/png")
        if shown:
            self.shown.setdefault(cell_index, []).append(shown)
        return super().process_message(message, cell, cell_index)


def execute(name, folder, monkeypatch, **parameters):
    """Executes a notebook in a folder; returns it, and the images that each cell showed."""
    monkeypatch.setenv("IPYTHONDIR", str(folder / ".ipython"))
    notebook = nbformat.read(NOTEBOOKS / name, as_version=4)
    (cell,) = (each for each in notebook.cells if "parameters" in each.metadata.get("tags", ()))
    for parameter, value in parameters.items():
        assert f"{parameter} = " in cell.source
        cell.source += f"\n{parameter} = {value!r}"
    client = Client(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    client.shown = {}
    client.execute()
    return notebook, client.shown


def assert_training_shows_progress(notebook, shown):
    (training,) = (i for i, cell in enumerate(notebook.cells) if "run = train(" in cell.source)
    assert len(shown[training]) == SMALL["STEPS"] // SMALL["SHOW_EVERY"]
    assert len(set(shown[training])) > 1


@pytest.mark.slow
def test_first_model(tmp_path, monkeypatch):
    notebook, shown = execute("first_model.ipynb", tmp_path, monkeypatch, DATASET="procedural", **SMALL)
    assert_training_shows_progress(notebook, shown)
    assert len(shown) == 5  # preview, training, metrics, prediction, exported model


@pytest.mark.slow
def test_own_pairs(tmp_path, monkeypatch):
    for index in range(20):
        photo, labels = draw_pair(0, index, 64, 64)
        for folder, image in (("my_pairs", np.hstack([labels, photo])), ("photos", labels)):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(image).save(tmp_path / folder / f"{index}.png")
    notebook, shown = execute("own_pairs.ipynb", tmp_path, monkeypatch, **SMALL)
    assert_training_shows_progress(notebook, shown)
    assert len(shown) == 4  # preview, training, metrics, outputs
    with zipfile.ZipFile(tmp_path / "result.zip") as result:
        assert {".tflite", ".html", ".png"} <= {Path(name).suffix for name in result.namelist()}


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.name)
def test_no_outputs_are_committed(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert not [cell for cell in code if cell.outputs or cell.execution_count]
