"""Records metrics and sample grids during training, in several sinks."""

from pix2pix_tf.recording.recorder import Recorder

__all__ = ["Recorder"]
