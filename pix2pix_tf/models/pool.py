"""A pool of earlier generated images, which the discriminator sees in addition to new ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

    from pix2pix_tf.models.forward import ForwardPass


def create_pool(name: str, size: int, shape: Sequence[int]) -> dict[str, tf.Variable]:
    """Returns an empty pool: images, float32 [size, *shape], and their number, by name in the checkpoint."""
    import tensorflow as tf

    # All devices make the same changes to their copies.
    return {
        f"{name}/images": tf.Variable(tf.zeros([size, *shape]), trainable=False),
        f"{name}/count": tf.Variable(0, trainable=False, dtype=tf.int32),
    }


def from_pool(forward: ForwardPass, name: str, new: tf.Tensor) -> tf.Tensor:
    """Adds new images to a pool and returns as many from it (Shrivastava et al. 2017, section 2.3).

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
        together = context.num_replicas_in_sync * batch
        new = tf.ensure_shape(context.all_gather(new, axis=0), [together, *new.shape[1:]])
    draws = forward.uniform([new.shape[0], 2], shared=True)
    chosen = []
    for image, draw in zip(tf.unstack(new), tf.unstack(draws), strict=True):
        held = tf.raw_ops.ReadVariableOp(resource=count.handle, dtype=tf.int32)
        is_full = held >= size
        place = tf.where(is_full, tf.cast(draw[0] * size, tf.int32), held)
        old = tf.raw_ops.ResourceGather(resource=images.handle, indices=place, dtype=tf.float32)
        takes_old = tf.logical_and(is_full, draw[1] < 0.5)
        is_kept = tf.logical_or(takes_old, tf.logical_not(is_full))
        tf.raw_ops.ResourceScatterUpdate(
            resource=images.handle, indices=place, updates=tf.where(is_kept, image, old)
        )
        tf.raw_ops.AssignVariableOp(resource=count.handle, value=tf.minimum(held + 1, size))
        chosen.append(tf.where(takes_old, old, image))
    first = tf.cast(context.replica_id_in_sync_group, tf.int32) * batch
    return tf.stack(chosen)[first : first + batch]
