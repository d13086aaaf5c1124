"""Training on several hosts: who they are, whether they agree, and what they do together.

`tf.distribute` does the work. Everything that a single process needs to know of it is `Hosts`.
"""

from pix2pix_tf.distribution.cluster import Cluster, find_cluster
from pix2pix_tf.distribution.hosts import Hosts, joined

__all__ = ["Cluster", "Hosts", "find_cluster", "joined"]
