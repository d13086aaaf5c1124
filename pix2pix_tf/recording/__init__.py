"""Records a run's metrics and sample grids while it trains, in several sinks."""

from pix2pix_tf.recording.recorder import Recorder, open_sinks

__all__ = ["Recorder", "open_sinks"]
