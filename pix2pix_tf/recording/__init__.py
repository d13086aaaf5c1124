"""Records metrics and sample grids during training, in several sinks."""

from pix2pix_tf.recording.recorder import Recorder, open_sinks

__all__ = ["Recorder", "open_sinks"]
