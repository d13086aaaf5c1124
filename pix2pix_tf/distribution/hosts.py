"""The processes of a training: their strategy and communication."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from pix2pix_tf import errors
from pix2pix_tf.data.pipeline import Share
from pix2pix_tf.distribution.cluster import Cluster
from pix2pix_tf.distribution.rendezvous import Facts, rendezvous
from pix2pix_tf.errors import ConfigError, HostLost, Pix2pixError
from pix2pix_tf.files import first_line

# Timeout for a missing host at the start. Later, TensorFlow detects a killed host at once by its closed
# connections, and an unresponsive host after ten seconds.
CONNECT_SECONDS = 60

Value = TypeVar("Value")
_PEER_ERROR = re.compile("collective|coordination|remote target", re.IGNORECASE)


def _unchanged(value: Any) -> Any:
    return value


class Hosts:
    """The processes of a training: a single process or a cluster.

    Attributes:
        is_chief: whether this process writes the run.
        processes_here: number of processes on this machine, which share its memory.
    """

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster | None = None):
        self.strategy = strategy
        self.cluster = cluster
        self.is_chief = cluster is None or cluster.index == 0
        self.processes_here = 1 if cluster is None else cluster.count_here()
        self._devices_here = strategy.num_replicas_in_sync // (1 if cluster is None else len(cluster.hosts))
        self._flags: tf.Tensor | None = None

    def description(self) -> str:
        """Returns the number of devices as a phrase; empty for one device."""
        devices = self.strategy.num_replicas_in_sync
        if self.cluster is None:
            return f" on {devices} GPUs" if devices > 1 else ""
        return f" on {devices} devices of {len(self.cluster.hosts)} hosts"

    @property
    def name(self) -> str:
        """This host's name for messages."""
        return self.cluster.named(self.cluster.index) if self.cluster is not None else "this host"

    def batches(self, make: Callable[[Share], tf.data.Dataset]) -> Iterator[Any]:
        """Iterates over this host's share of the batches, created by ``make``."""
        total, own = self.strategy.num_replicas_in_sync, self._devices_here
        first = 0 if self.cluster is None else own * self.cluster.index
        share = Share(range(first, first + own), total)
        # With a finite data set, TensorFlow would synchronize the hosts at every step to detect its end.
        endless = self.strategy.distribute_datasets_from_function(lambda _: make(share).repeat())
        return iter(endless)

    def chief_decides(
        self,
        decide: Callable[[], Value],
        to_json: Callable[[Value], Any] = _unchanged,
        from_json: Callable[[Any], Value] = _unchanged,
    ) -> Value:
        """Calls ``decide`` on host 0. Every host returns its result or raises its error.

        The others get the result as JSON.
        """
        if self.cluster is None:
            return decide()
        outcome: dict[str, Any] = {}
        if self.is_chief:
            try:
                decided = decide()
                outcome = {"value": to_json(decided)}
            except Pix2pixError as error:
                outcome = {"error": type(error).__name__, "message": str(error)}
        outcome = json.loads(self._from_chief(json.dumps(outcome)))
        if "error" in outcome:
            raise getattr(errors, outcome["error"])(outcome["message"])
        return decided if self.is_chief else from_json(outcome["value"])

    def refuse_difference(self, what: str, value: Any) -> None:
        """Raises `ConfigError` if a value differs between hosts."""
        if self.cluster is not None and self._total(value != self.chief_decides(lambda: value)):
            raise ConfigError(f"{what} differ between hosts; use the same on all hosts")

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Returns for each flag whether any process has set it.

        With several hosts, returns the flags of the previous call, so that no step waits for communication.
        """
        if self.cluster is None:
            return flags
        previous, self._flags = self._flags, self._summed(tf.constant(flags, tf.float32))
        return tuple(previous.numpy() > 0) if previous is not None else (False,) * len(flags)

    def share(self, variables: Mapping[str, tf.Variable]) -> None:
        """Copies host 0's values to all hosts."""
        if self.cluster is None:
            return

        def broadcast() -> None:
            context = tf.distribute.get_replica_context()
            is_first = tf.equal(context.replica_id_in_sync_group, 0)
            for dtype in sorted({each.dtype.name for each in variables.values()}):  # one message per type
                ours = [each for each in variables.values() if each.dtype.name == dtype]
                own = [tf.where(is_first, each, tf.zeros_like(each)) for each in ours]
                values = context.all_reduce(tf.distribute.ReduceOp.SUM, own)
                for variable, value in zip(ours, values, strict=True):
                    # `variable.assign` would require an aggregation over the devices.
                    tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)

        tf.function(lambda: self.strategy.run(broadcast))()

    def _from_chief(self, text: str) -> str:
        own = np.frombuffer(text.encode() if self.is_chief else b"", np.uint8)
        length = int(self._total(len(own)))
        codes = own.astype(np.int32) if self.is_chief else np.zeros(length, np.int32)
        return self._summed(tf.constant(codes)).numpy().astype(np.uint8).tobytes().decode()

    def _total(self, number: float) -> float:
        return float(self._summed(tf.constant(number, tf.float32)))

    @tf.function(reduce_retracing=True)
    def _summed(self, value: tf.Tensor) -> tf.Tensor:
        """Sums a tensor over all hosts."""

        def of_device() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            is_first = tf.equal(context.replica_id_in_sync_group % self._devices_here, 0)
            own = tf.where(is_first, value, tf.zeros_like(value))
            return context.all_reduce(tf.distribute.ReduceOp.SUM, [own])[0]

        return self.strategy.experimental_local_results(self.strategy.run(of_device))[0]


@contextlib.contextmanager
def joined(cluster: Cluster | None, batch_size: int, facts: Facts) -> Iterator[Hosts]:
    """Connects the hosts of a training; a single process uses as many GPUs as divide its batch evenly.

    Call this once, before any other use of TensorFlow in the process.
    """
    if cluster is None:
        yield Hosts(_strategy_alone(batch_size))
        return
    rendezvous(cluster, facts, CONNECT_SECONDS)
    try:
        strategy = _connected(cluster)
        devices = strategy.num_replicas_in_sync
        if batch_size % devices:
            raise ConfigError(
                f"--batch-size, divided by --accumulate, is {batch_size}; it must be a multiple of "
                f"{devices}, the number of devices of all {len(cluster.hosts)} hosts"
            )
        yield Hosts(strategy, cluster)
    except tf.errors.OpError as error:
        if not _PEER_ERROR.search(str(error)):
            raise
        raise HostLost(
            "another host has stopped or is unreachable; start all hosts again to continue from the last "
            "checkpoint"
        ) from error


def _strategy_alone(batch_size: int) -> tf.distribute.Strategy:
    gpus = tf.config.list_logical_devices("GPU")
    sharing = math.gcd(batch_size, len(gpus))
    if sharing > 1:
        return _mirrored(tuple(gpu.name for gpu in gpus[:sharing]))
    return tf.distribute.get_strategy()


@functools.cache
def _mirrored(devices: Sequence[str]) -> tf.distribute.Strategy:
    # Cached, because a second strategy would reuse the keys of the first one's collective operations.
    return tf.distribute.MirroredStrategy(devices)


def _connected(cluster: Cluster) -> tf.distribute.Strategy:
    """Connects this host to the others."""
    spec = tf.train.ClusterSpec({"worker": cluster.hosts})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        spec, task_type="worker", task_id=cluster.index, rpc_layer="grpc"
    )
    # If a host is lost now, TensorFlow waits forever in C++. The alarm kills the process with an exit code
    # that makes orchestrators restart it.
    signal.alarm(CONNECT_SECONDS)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except RuntimeError as error:
        raise ConfigError(
            f"the hosts can't be connected ({first_line(error)}); connect them before any other use of "
            "TensorFlow in this process"
        ) from error
    finally:
        signal.alarm(0)
