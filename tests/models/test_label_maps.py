"""Label maps with one channel per class: the networks' input and the published model's."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from pix2pix_tf.data.label_maps import classes_of, named_classes, palette
from pix2pix_tf.data.pixels import to_unit_range
from pix2pix_tf.data.procedural import draw_pair
from pix2pix_tf.data.procedural.canvas import PALETTE
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.data.tasks.pairs import one_hot
from pix2pix_tf.errors import ConfigError
from pix2pix_tf.formats.run import translators_for
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.training.start import completed_config
from tests.conftest import small_config


@pytest.fixture(scope="module")
def label_map():
    return draw_pair(3, 0, 64, 80)[1]


def test_one_hot_takes_the_nearest_color(label_map):
    colors = np.unique(label_map.reshape(-1, 3), axis=0)
    noisy = label_map + np.random.default_rng(0).integers(-9, 9, label_map.shape)
    noisy = noisy.clip(0, 255).astype(np.uint8)
    found = one_hot(to_unit_range(tf.constant(noisy)), colors.tolist()).numpy()
    assert np.unique(found).tolist() == [-1.0, 1.0]
    np.testing.assert_array_equal(found.sum(axis=-1), 2.0 - len(colors))
    np.testing.assert_array_equal(found.argmax(axis=-1), classes_of(noisy, colors))


@pytest.mark.slow
def test_published_generator_takes_label_maps(tmp_path, label_map):
    asked = small_config(tmp_path / "run", one_hot_labels=True, direction="BtoA")
    dataset = open_dataset(asked)
    config = completed_config(asked, dataset)
    colors = palette(dataset, 0)
    assert config.data.label_colors == tuple(colors.reshape(-1).tolist())
    model = model_for(config)
    assert model.channels == (len(colors), 3)
    (translate,) = translators_for(model).values()
    generator = model.networks()["generator"]("float32")
    translate.set_weights({f"generator/{weight.path}": weight for weight in generator.weights})
    classes = one_hot(to_unit_range(tf.constant(label_map)), colors.tolist())
    expected = generator(classes[tf.newaxis])[0]
    predicted = translate.translate_floats(to_unit_range(tf.constant(label_map)))
    np.testing.assert_allclose(predicted, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("colors", "direction", "flag"),
    [
        ((), "AtoB", "label-maps"),  # photos have no classes
        ((255, 0, 0, 0, 255, 0), "AtoB", "label-maps"),
        ((255, 0, 0, 0, 255), "BtoA", "label-colors"),
        ((255, 0, 0), "BtoA", "label-colors"),
        ((255, 0, 0, 0, 255, 0, 255, 0, 0), "BtoA", "label-colors"),  # a class twice
        ((0, 0, 0, 0, 300, 0), "BtoA", "label-colors"),
        ((0, 0, 0, 0, -1, 0), "BtoA", "label-colors"),
    ],
)
def test_wrong_label_colors_are_refused(tmp_path, colors, direction, flag):
    def complete():
        given = {"label_colors": colors} if colors else {}
        asked = small_config(tmp_path / "run", one_hot_labels=True, direction=direction, **given)
        completed_config(asked, open_dataset(asked))

    with pytest.raises(ConfigError, match=flag):
        complete()


@pytest.mark.slow
def test_class_names():
    for model, side in (("pix2pix", 0), ("cyclegan", 1)):
        dataset = open_dataset(small_config(None, model))
        named = named_classes(dataset, side)
        assert named == {name: PALETTE[name] for name in named}
        assert {"wall", "window", "door"} <= named.keys()
        assert named_classes(dataset, 1 - side) == {}
    unknown = dataclasses.replace(open_dataset(small_config(None)), name="mine")
    assert next(iter(named_classes(unknown, 0))) == "class 1"
