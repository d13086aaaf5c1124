"""Finds the processes that train together, from flags, ``TF_CONFIG`` or SLURM."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from pix2pix_tf.errors import ConfigError

_FIRST_PORT = 8888  # of the tasks on a node, under SLURM
_ADDRESS = re.compile(r"[^\s:\[\]]+:0*[1-9][0-9]{0,4}")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Addresses of the processes, ``name:port``, and the index of this one; the first writes the run."""

    hosts: tuple[str, ...]
    index: int

    def __post_init__(self) -> None:
        """Validates the addresses and the index."""
        for host in self.hosts:
            if not _ADDRESS.fullmatch(host) or int(host.rpartition(":")[2]) > 65535:
                raise ConfigError(
                    f"--hosts takes names or IPv4 addresses with a port, such as node1:2222; got {host!r}"
                )
            if self.hosts.count(host) > 1:
                raise ConfigError(f"--hosts names {host} twice")
        if not 0 <= self.index < len(self.hosts):
            raise ConfigError(
                f"--host-index {self.index}: {len(self.hosts)} hosts have the numbers from 0 to "
                f"{len(self.hosts) - 1}"
            )

    def count_here(self) -> int:
        """Returns how many of the processes have this one's host name."""
        machines = [host.rpartition(":")[0] for host in self.hosts]
        return machines.count(machines[self.index])

    def named(self, index: int) -> str:
        """Returns the name of a host in messages."""
        return f"host {index} ({self.hosts[index]})"


def find_cluster(hosts: Sequence[str] = (), index: int | None = None) -> Cluster | None:
    """Returns the cluster of this process, or ``None`` if it trains alone; flags override the environment."""
    cluster: Cluster | None = None
    if hosts or index is not None:
        if not hosts or index is None:
            raise ConfigError(
                "--hosts and --host-index belong together: all addresses, and which is this one"
            )
        cluster = Cluster(tuple(hosts), index)
    elif "TF_CONFIG" in os.environ:
        cluster = _from_tf_config()
    elif os.environ.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        cluster = _from_slurm()
    if cluster is None or len(cluster.hosts) == 1:
        return None
    if sys.platform == "win32":
        raise ConfigError("several hosts train together on Linux only")
    return cluster


def _from_tf_config() -> Cluster | None:
    """Reads the variable that orchestrators such as Kubeflow's training operator and Vertex set."""
    import tensorflow as tf

    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    try:
        jobs, task, index = resolver.cluster_spec().as_dict(), resolver.task_type, resolver.task_id
        return _of_jobs(jobs, task, index)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"the environment's TF_CONFIG can't be understood: {error}") from error


def _of_jobs(jobs: Mapping[str, Any], task: str | None, index: int | None) -> Cluster | None:
    """Lists the chief and then the workers; parameter servers and evaluators are refused."""
    if not jobs:
        return None
    if task not in ("chief", "worker") or task not in jobs:
        raise ConfigError(f"TF_CONFIG makes this process a '{task}'; here are chiefs and workers only")
    rows = {job: [str(host) for host in jobs.get(job, ())] for job in ("chief", "worker")}
    before = len(rows["chief"]) if task == "worker" else 0
    return Cluster((*rows["chief"], *rows["worker"]), before + int(index or 0))


def _from_slurm() -> Cluster:
    """Reads the variables of ``srun``."""
    import tensorflow as tf

    try:
        # srun shows each task its GPUs; the numbers here only keep the resolver from counting them.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            gpus_per_node=int(os.environ["SLURM_STEP_NUM_TASKS"]),
            gpus_per_task=1,
            auto_set_gpu=False,
            port_base=_FIRST_PORT,
        )
        [hosts] = resolver.cluster_spec().as_dict().values()
        # The resolver sorts nodes by their names, srun numbers tasks in its own order: node10 before node8.
        own = f"{os.environ['SLURMD_NODENAME']}:{_FIRST_PORT + int(os.environ['SLURM_LOCALID'])}"
        return Cluster(tuple(hosts), hosts.index(own))
    except (ValueError, TypeError, KeyError, RuntimeError) as error:
        raise ConfigError(f"the environment's SLURM variables can't be understood: {error}") from error
