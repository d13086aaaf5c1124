"""``python export.py`` is ``pix2pix export``."""

import sys

from pix2pix_tf.commands.main import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
