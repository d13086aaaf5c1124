"""The processes that train together: their strategy and what they exchange."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from pix2pix_tf import errors
from pix2pix_tf.data.pipeline import Share
from pix2pix_tf.distribution.cluster import Cluster
from pix2pix_tf.distribution.rendezvous import Facts, rendezvous
from pix2pix_tf.errors import ConfigError, HostLost, Pix2pixError
from pix2pix_tf.files import first_line

# How long to wait for a missing host at the start. Later, TensorFlow notices a killed host at once, as its
# connections close, and a silent one after ten seconds.
CONNECT_SECONDS = 60

_PEER_ERROR = re.compile("collective|coordination|remote target", re.IGNORECASE)


class Hosts:
    """The processes of a training: this one alone, or those of a cluster.

    Attributes:
        is_chief: whether this process writes the run.
        processes_here: how many of the processes share this machine's memory.
    """

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster | None = None):
        self.strategy = strategy
        self.cluster = cluster
        self.is_chief = cluster is None or cluster.index == 0
        self.processes_here = 1 if cluster is None else cluster.count_here()
        self._devices_here = strategy.num_replicas_in_sync // (1 if cluster is None else len(cluster.hosts))
        self._flags: tf.Tensor | None = None

    def description(self) -> str:
        """Returns a phrase with the number of devices; empty for one device."""
        devices = self.strategy.num_replicas_in_sync
        if self.cluster is None:
            return f" on {devices} GPUs" if devices > 1 else ""
        return f" on {devices} devices of {len(self.cluster.hosts)} hosts"

    @property
    def name(self) -> str:
        """The name of this host in messages."""
        return self.cluster.named(self.cluster.index) if self.cluster is not None else "this host"

    def batches(self, make: Callable[[Share], tf.data.Dataset]) -> Iterator[Any]:
        """Returns this host's part of each step's batches; ``make`` creates the batches of some devices."""
        total, own = self.strategy.num_replicas_in_sync, self._devices_here
        first = 0 if self.cluster is None else own * self.cluster.index
        share = Share(range(first, first + own), total)
        # With a finite data set, TensorFlow would make the hosts exchange at every step whether it has ended.
        endless = self.strategy.distribute_datasets_from_function(lambda _: make(share).repeat())
        return iter(endless)

    def chief_decides(self, decide: Callable[[], Any]) -> Any:
        """Calls ``decide`` on the first host; returns its result, or raises its error, on every host."""
        if self.cluster is None:
            return decide()
        outcome: dict[str, Any] = {}
        if self.is_chief:
            try:
                outcome = {"value": decide()}
            except Pix2pixError as error:
                outcome = {"error": type(error).__name__, "message": str(error)}
        outcome = json.loads(self._from_chief(json.dumps(outcome)))
        if "error" in outcome:
            raise getattr(errors, outcome["error"])(outcome["message"])
        return outcome["value"]

    def refuse_difference(self, what: str, value: Any) -> None:
        """Raises if a value is not the same on all hosts."""
        if self.cluster is not None and self._total(value != self.chief_decides(lambda: value)):
            raise ConfigError(f"{what} are not the same on all hosts; make them equal")

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Returns for each flag whether it is set in some process.

        With several hosts the result is that of the previous call, so that no step waits for it.
        """
        if self.cluster is None:
            return flags
        previous, self._flags = self._flags, self._summed(tf.constant(flags, tf.float32))
        return tuple(previous.numpy() > 0) if previous is not None else (False,) * len(flags)

    def share(self, variables: Mapping[str, tf.Variable]) -> None:
        """Copies the first host's values to all hosts."""
        if self.cluster is None:
            return

        def broadcast(ours: Sequence[tf.Variable]) -> None:
            context = tf.distribute.get_replica_context()
            is_first = tf.equal(context.replica_id_in_sync_group, 0)
            own = [tf.where(is_first, each, tf.zeros_like(each)) for each in ours]
            values = context.all_reduce(tf.distribute.ReduceOp.SUM, own)
            for variable, value in zip(ours, values, strict=True):
                # On the handle: `assign` would ask for an aggregation over the devices.
                tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)

        def broadcast_all() -> None:
            for dtype in sorted(
                {each.dtype.name for each in variables.values()}
            ):  # one message for each type
                broadcast([each for each in variables.values() if each.dtype.name == dtype])

        tf.function(lambda: self.strategy.run(broadcast_all))()

    def _from_chief(self, text: str) -> str:
        own = np.frombuffer(text.encode() if self.is_chief else b"", np.uint8)
        length = int(self._total(len(own)))
        codes = own.astype(np.int32) if self.is_chief else np.zeros(length, np.int32)
        return self._summed(tf.constant(codes)).numpy().astype(np.uint8).tobytes().decode()

    def _total(self, number: float) -> float:
        return float(self._summed(tf.constant(number, tf.float32)))

    @tf.function(reduce_retracing=True)
    def _summed(self, value: tf.Tensor) -> tf.Tensor:
        """Sums a tensor of each host."""

        def of_device() -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            is_first = tf.equal(context.replica_id_in_sync_group % self._devices_here, 0)
            own = tf.where(is_first, value, tf.zeros_like(value))
            return context.all_reduce(tf.distribute.ReduceOp.SUM, [own])[0]

        return self.strategy.experimental_local_results(self.strategy.run(of_device))[0]


@contextlib.contextmanager
def joined(cluster: Cluster | None, batch_size: int, facts: Facts) -> Iterator[Hosts]:
    """Connects the hosts of a training; a single process uses the GPUs that divide its batch evenly.

    It must come before anything else that the process does with TensorFlow.
    """
    if cluster is None:
        yield Hosts(_strategy_alone(batch_size))
        return
    is_connected = _connected.cache_info().currsize > 0
    if not is_connected:
        rendezvous(cluster, facts, CONNECT_SECONDS)
    with _missing_peers():
        strategy = _connected(cluster)
        hosts = Hosts(strategy, cluster)
        if is_connected:
            hosts.refuse_difference("the settings", dict(facts))
        devices = strategy.num_replicas_in_sync
        if batch_size % devices:
            raise ConfigError(
                f"--batch-size, divided by --accumulate, is {batch_size}, which {devices} devices of "
                f"{len(cluster.hosts)} hosts can't share evenly; make it a multiple of {devices}"
            )
        yield hosts


def _strategy_alone(batch_size: int) -> tf.distribute.Strategy:
    gpus = tf.config.list_logical_devices("GPU")
    sharing = math.gcd(batch_size, len(gpus))
    if sharing > 1:
        return _mirrored(tuple(gpu.name for gpu in gpus[:sharing]))
    return tf.distribute.get_strategy()


@functools.cache
def _mirrored(devices: Sequence[str]) -> tf.distribute.Strategy:
    # One for the whole process: a second one would reuse the first one's numbers of collective operations.
    return tf.distribute.MirroredStrategy(devices)


@functools.cache
def _connected(cluster: Cluster) -> tf.distribute.Strategy:
    """Connects this host to the others, once for the whole process, as above."""
    spec = tf.train.ClusterSpec({"worker": cluster.hosts})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        spec, task_type="worker", task_id=cluster.index, rpc_layer="grpc"
    )
    # TensorFlow would wait forever for a host that is lost just now, outside of Python. The alarm ends the
    # process with an exit code on which orchestrators start it again.
    signal.alarm(CONNECT_SECONDS)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
    except RuntimeError as error:
        raise ConfigError(
            f"the hosts can't be connected ({first_line(error)}): that must come before anything else that "
            "this process does with TensorFlow"
        ) from error
    finally:
        signal.alarm(0)


@contextlib.contextmanager
def _missing_peers() -> Iterator[None]:
    """Raises `HostLost` where TensorFlow's operations fail because another host is gone."""
    try:
        yield
    except tf.errors.OpError as error:
        if not _PEER_ERROR.search(str(error)):
            raise
        raise HostLost(
            "another host has stopped or can't be reached any more; start all hosts again: they continue "
            "from the last checkpoint"
        ) from error
