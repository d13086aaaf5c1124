"""Finds the processes that train together, from flags, ``TF_CONFIG`` or SLURM."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Sequence

from pix2pix_tf.errors import ConfigError

_FIRST_PORT = 8888  # port of a node's first task under SLURM
_ADDRESS = re.compile(r"[^\s:\[\]]+:0*[1-9][0-9]{0,4}")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Addresses ``name:port`` of all processes, and this one's index. Process 0 writes the run."""

    hosts: tuple[str, ...]
    index: int

    def __post_init__(self) -> None:
        """Validates the addresses and the index."""
        for host in self.hosts:
            if not _ADDRESS.fullmatch(host) or int(host.rpartition(":")[2]) > 65535:
                raise ConfigError(
                    f"--hosts needs names or IPv4 addresses with a port, such as node1:2222; got {host!r}"
                )
            if self.hosts.count(host) > 1:
                raise ConfigError(f"--hosts has {host} twice; give each process its own address")
        if not 0 <= self.index < len(self.hosts):
            raise ConfigError(
                f"--host-index {self.index}: with {len(self.hosts)} hosts, it must be from 0 to "
                f"{len(self.hosts) - 1}"
            )

    def count_here(self) -> int:
        """Returns the number of processes on this machine, by host name."""
        machines = [host.rpartition(":")[0] for host in self.hosts]
        return machines.count(machines[self.index])

    def named(self, index: int) -> str:
        """Returns a host's name for messages."""
        return f"host {index} ({self.hosts[index]})"


def find_cluster(hosts: Sequence[str] = (), index: int | None = None) -> Cluster | None:
    """Returns the cluster, or ``None`` for a single process; flags override the environment."""
    cluster: Cluster | None = None
    if hosts or index is not None:
        if not hosts or index is None:
            raise ConfigError(
                "--hosts and --host-index need each other: give all addresses and the index of this host"
            )
        cluster = Cluster(tuple(hosts), index)
    elif "TF_CONFIG" in os.environ:
        cluster = _from_tf_config()
    elif os.environ.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        cluster = _from_slurm()
    if cluster is None or len(cluster.hosts) == 1:
        return None
    if sys.platform == "win32":
        raise ConfigError("training on several hosts needs Linux")
    return cluster


def _from_tf_config() -> Cluster | None:
    """Reads ``TF_CONFIG``, which orchestrators such as Kubeflow's training operator and Vertex set."""
    import tensorflow as tf

    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    try:
        jobs, task, index = resolver.cluster_spec().as_dict(), resolver.task_type, resolver.task_id
        if not jobs:
            return None
        if task not in ("chief", "worker") or task not in jobs:  # parameter servers and evaluators
            raise ValueError(f"this process has the task '{task}'; use only 'chief' and 'worker'")
        chief, workers = ([str(host) for host in jobs.get(job, ())] for job in ("chief", "worker"))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"the environment variable TF_CONFIG is invalid: {error}") from error
    return Cluster((*chief, *workers), int(index or 0) + (len(chief) if task == "worker" else 0))


def _from_slurm() -> Cluster:
    """Reads the variables that ``srun`` sets."""
    import tensorflow as tf

    try:
        # Prevents the resolver from counting GPUs; srun assigns GPUs to tasks.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            gpus_per_node=int(os.environ["SLURM_STEP_NUM_TASKS"]),
            gpus_per_task=1,
            auto_set_gpu=False,
            port_base=_FIRST_PORT,
        )
        [hosts] = resolver.cluster_spec().as_dict().values()
        # The resolver and srun may number tasks differently, such as node10 before node8.
        own = f"{os.environ['SLURMD_NODENAME']}:{_FIRST_PORT + int(os.environ['SLURM_LOCALID'])}"
        return Cluster(tuple(hosts), hosts.index(own))
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise ConfigError(f"the SLURM environment variables are invalid: {error}") from error
