"""Run directories: their files, configs and checkpoints."""

from pix2pix_tf.runs.directory import FORMAT, RunDirectory, package_versions
from pix2pix_tf.runs.opened import OpenedRun, find_run, open_run

__all__ = ["FORMAT", "OpenedRun", "RunDirectory", "find_run", "open_run", "package_versions"]
