"""``python -m pix2pix_tf`` is ``pix2pix``."""

import sys

from pix2pix_tf.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
