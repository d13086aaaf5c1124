"""Converts TensorFlow's errors during training into messages that say what to do."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from pix2pix_tf.errors import DataError, SystemFault
from pix2pix_tf.files import first_line


@contextlib.contextmanager
def framework_errors_explained() -> Iterator[None]:
    """Converts TensorFlow's errors into a one-line `SystemFault` or `DataError`."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise SystemFault(
            "not enough memory; take a smaller --image-size or --batch-size, or fewer filters"
        ) from error
    except tf.errors.UnknownError as error:  # how Python's errors come out of a tf.data pipeline
        if found := re.search(r"(DataError|SystemFault): (.*)", str(error)):
            raise {"DataError": DataError, "SystemFault": SystemFault}[found[1]](found[2]) from error
        raise
    except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError, tf.errors.DataLossError) as error:
        raise DataError(
            f"a training image could not be read ({first_line(error)}); 'pix2pix data check DATASET' names it"
        ) from error
