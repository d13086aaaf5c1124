"""Exported models of every kind, and how one line of refusal is looked at."""

import pytest

from pix2pix_tf import formats
from tests.exported_models import SIZE, ContrastModel, write_tflite


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A SavedModel in two versions and two .tflite files, to be read only."""
    folder = tmp_path_factory.mktemp("models")
    ContrastModel().save(folder / "contrast" / "9")
    ContrastModel(output_channels=1).save(folder / "contrast" / "10")
    write_tflite(folder / "floats.tflite", SIZE)
    write_tflite(folder / "levels.TFLITE", SIZE, levels=True)
    return folder


@pytest.fixture(scope="session")
def load(models):
    """Loads one of them, each only once."""
    loaded = {}

    def load(name):
        if name not in loaded:
            loaded[name] = formats.load(models / name)
        return loaded[name]

    return load


@pytest.fixture
def refused():
    """Calls something that is to be refused in one line; returns the line."""

    def refused(error, call, *arguments, **options):
        with pytest.raises(error) as caught:
            call(*arguments, **options)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return refused
