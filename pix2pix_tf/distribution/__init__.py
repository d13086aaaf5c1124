"""Training on several hosts with `tf.distribute`. Training code uses only `Hosts`."""

from pix2pix_tf.distribution.cluster import Cluster, find_cluster
from pix2pix_tf.distribution.hosts import Hosts, joined

__all__ = ["Cluster", "Hosts", "find_cluster", "joined"]
