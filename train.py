"""``python train.py`` is ``pix2pix train``."""

import sys

from pix2pix_tf.commands.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
