"""A pool of earlier generated images for the discriminator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

    from pix2pix_tf.models.forward import ForwardPass


def create_pool(name: str, size: int, shape: Sequence[int]) -> dict[str, tf.Variable]:
    """Creates an empty pool: images, float32 [size, *shape], and their number, by checkpoint name."""
    import tensorflow as tf

    # No aggregation over devices is needed, because all devices make the same changes to their copies.
    return {
        f"{name}/images": tf.Variable(tf.zeros([size, *shape]), trainable=False),
        f"{name}/count": tf.Variable(0, trainable=False, dtype=tf.int32),
    }


def from_pool(forward: ForwardPass, name: str, new: tf.Tensor) -> tf.Tensor:
    """Adds images to a pool and returns the same number of images (Shrivastava et al. 2017, section 2.3).

    Until the pool is full, new images are stored and returned. After that, with probability ½ a new image is
    returned without being stored; otherwise it replaces a random old one, which is returned. Input and output
    are float32 [batch, height, width, channels]; gradients are stopped.
    """
    import tensorflow as tf

    images, count = forward.state[f"{name}/images"], forward.state[f"{name}/count"]
    size = images.shape[0]
    context = tf.distribute.get_replica_context()
    batch = new.shape[0]
    new = tf.stop_gradient(new)
    if context.num_replicas_in_sync > 1:
        total = context.num_replicas_in_sync * batch
        new = tf.ensure_shape(context.all_gather(new, axis=0), [total, *new.shape[1:]])
    draws = forward.uniform([new.shape[0], 2], shared=True)
    returned = []
    for image, draw in zip(tf.unstack(new), tf.unstack(draws), strict=True):
        stored = tf.raw_ops.ReadVariableOp(resource=count.handle, dtype=tf.int32)
        is_full = stored >= size
        position = tf.where(is_full, tf.cast(draw[0] * size, tf.int32), stored)
        old = tf.raw_ops.ResourceGather(resource=images.handle, indices=position, dtype=tf.float32)
        returns_old = tf.logical_and(is_full, draw[1] < 0.5)
        is_stored = tf.logical_or(returns_old, tf.logical_not(is_full))
        tf.raw_ops.ResourceScatterUpdate(
            resource=images.handle, indices=position, updates=tf.where(is_stored, image, old)
        )
        tf.raw_ops.AssignVariableOp(resource=count.handle, value=tf.minimum(stored + 1, size))
        returned.append(tf.where(returns_old, old, image))
    first = tf.cast(context.replica_id_in_sync_group, tf.int32) * batch
    return tf.stack(returned)[first : first + batch]
