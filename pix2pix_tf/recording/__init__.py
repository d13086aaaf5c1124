"""Records metrics and sample grids during training, in several sinks."""

from pix2pix_tf.recording.recorder import Recorder
from pix2pix_tf.recording.sink import Sink

__all__ = ["Recorder", "Sink"]
