"""Opens, checks and packs folders of images with a few settings."""

from pix2pix_tf import preset, replace
from pix2pix_tf.data import folder as folders
from pix2pix_tf.data import packed
from pix2pix_tf.data.checking import report


def config_of(folder, **settings):
    return replace(preset(str(folder)), **settings)


def open_folder(folder, kind="pairs", **settings):
    return folders.open_folder(folder, config_of(folder, **settings), kind)


def survey_folder(folder, kind="pairs", **settings):
    return folders.survey_folder(folder, config_of(folder, **settings), kind)


def check_folder(folder, kind="pairs", **settings):
    return report.check_folder(folder, config_of(folder, **settings), kind)


def pack_folder(folder, out, kind="pairs", **settings):
    return packed.pack_folder(folder, out, config_of(folder, **settings), kind)
