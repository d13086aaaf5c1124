"""What a run shows while it trains. A sink takes whatever values and sheets come at a step."""

from pix2pix_tf.recording.recorder import Recorder

__all__ = ["Recorder"]
