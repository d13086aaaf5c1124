"""The notebooks run at a small size, offline, and show images while they train."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("nbclient", reason="needs the extra 'docs'")
pytest.importorskip("ipykernel", reason="needs the extra 'docs'")
import nbformat
from nbclient import NotebookClient

from pix2pix_tf.data.procedural import procedural_pair

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
