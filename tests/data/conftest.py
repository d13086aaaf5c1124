"""What the tests of data share."""

import pytest


@pytest.fixture(autouse=True)
def data_dir(tmp_path_factory, monkeypatch):
    """Where results of checks and named data sets are stored by default."""
    place = tmp_path_factory.mktemp("data_dir")
    monkeypatch.setenv("TFDS_DATA_DIR", str(place))
    return place
