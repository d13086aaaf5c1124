"""Errors of the input pipeline, as users see them."""

from pathlib import Path

import pytest
import tensorflow as tf

from pix2pix_tf.data.pixel_format import PixelFormat
from pix2pix_tf.data.reading import load_in_pipeline
from pix2pix_tf.errors import DataError, SystemFault
from pix2pix_tf.training.framework_errors import framework_errors_explained


@pytest.mark.parametrize("fault", [DataError, SystemFault])
def test_pipeline_errors_name_the_file(tmp_path, monkeypatch, fault):
    path = tmp_path / "one.png"
    path.write_bytes(b"no image")
    if fault is SystemFault:

        def broken(*_args, **_options):
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(Path, "open", broken)
    read = tf.data.Dataset.from_tensors(str(path)).map(lambda file: load_in_pipeline(file, PixelFormat(3)))
    with pytest.raises(fault, match=r"one\.png"), framework_errors_explained():
        next(iter(read))
