"""The processes that train together: their strategy, and what they agree on."""

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
from pix2pix_tf.distribution.roll_call import Facts, roll_call
from pix2pix_tf.errors import ConfigError, HostLost, Pix2pixError
from pix2pix_tf.files import first_line

WAIT = 60
"""Seconds until a host that is missing at the start is given up.

Later, one that is killed is missed at once, as its connections close, and one that is silent after the ten
seconds of TensorFlow's heartbeat.
"""

_FROM_PEERS = re.compile("collective|coordination|remote target", re.IGNORECASE)


class Hosts:
    """The processes of a training; of one that trains alone, itself.

    Args:
        strategy: on which all of them train.
        cluster: of several hosts.

    Attributes:
        is_chief: whether this process writes the run.
        processes_here: how many of them share this machine's memory.
    """

    def __init__(self, strategy: tf.distribute.Strategy, cluster: Cluster | None = None):
        self.strategy = strategy
        self.cluster = cluster
        self.is_chief = cluster is None or cluster.index == 0
        self.processes_here = 1 if cluster is None else cluster.count_here()
        self._devices_here = strategy.num_replicas_in_sync // (1 if cluster is None else len(cluster.hosts))
        self._wishes: tf.Tensor | None = None

    def description(self) -> str:
        """Returns in some words among how many devices a step is shared; nothing for one."""
        devices = self.strategy.num_replicas_in_sync
        if self.cluster is None:
            return f" on {devices} GPUs" if devices > 1 else ""
        return f" on {devices} devices of {len(self.cluster.hosts)} hosts"

    @property
    def name(self) -> str:
        """What messages call this host."""
        return self.cluster.named(self.cluster.index) if self.cluster is not None else "this host"

    def batches(self, make: Callable[[Share], tf.data.Dataset]) -> Iterator[Any]:
        """Returns this host's part of the batches of each step.

        Args:
            make: gives the batches for some of all devices.
        """
        total, own = self.strategy.num_replicas_in_sync, self._devices_here
        first = 0 if self.cluster is None else own * self.cluster.index
        share = Share(range(first, first + own), total)
        # Of what may end, TensorFlow would have the hosts agree at every step whether it has.
        endless = self.strategy.distribute_datasets_from_function(lambda _: make(share).repeat())
        return iter(endless)

    def chief_decides(self, decide: Callable[[], Any]) -> Any:
        """Returns everywhere what the first host has found; what goes wrong there goes wrong everywhere."""
        if self.cluster is None:
            return decide()
        found: dict[str, Any] = {}
        if self.is_chief:
            try:
                found = {"value": decide()}
            except Pix2pixError as error:
                found = {"error": type(error).__name__, "message": str(error)}
        told = json.loads(self._from_chief(json.dumps(found)))
        if "error" in told:
            raise getattr(errors, told["error"])(told["message"])
        return told["value"]

    def refuse_difference(self, what: str, value: Any) -> None:
        """Checks that all hosts have the same."""
        if self.cluster is not None and self._total(value != self.chief_decides(lambda: value)):
            raise ConfigError(f"{what} are not the same on all hosts; make them alike")

    def any(self, *wishes: bool) -> tuple[bool, ...]:
        """Returns of each wish whether some process has it.

        Of several hosts the wishes are known one call later, so that no step waits for them.
        """
        if self.cluster is None:
            return wishes
        before, self._wishes = self._wishes, self._summed(tf.constant(wishes, tf.float32))
        return tuple(before.numpy() > 0) if before is not None else (False,) * len(wishes)

    def share(self, variables: Mapping[str, tf.Variable]) -> None:
        """Gives all hosts the first one's values."""
        if self.cluster is None:
            return

        def take_over(ours: Sequence[tf.Variable]) -> None:
            context = tf.distribute.get_replica_context()
            is_first = tf.equal(context.replica_id_in_sync_group, 0)
            own = [tf.where(is_first, each, tf.zeros_like(each)) for each in ours]
            values = context.all_reduce(tf.distribute.ReduceOp.SUM, own)
            for variable, value in zip(ours, values, strict=True):
                # On the handle, as `assign` asks how devices are to agree.
                tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)

        def take_over_all() -> None:
            for dtype in sorted({each.dtype.name for each in variables.values()}):  # they are sent together
                take_over([each for each in variables.values() if each.dtype.name == dtype])

        tf.function(lambda: self.strategy.run(take_over_all))()

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
    """Connects the hosts of a training, before anything else is done with TensorFlow in this process.

    Of one process alone it yields those GPUs that can share a batch evenly.
    """
    if cluster is None:
        yield Hosts(_strategy_alone(batch_size))
        return
    is_connected = _connected.cache_info().currsize > 0
    if not is_connected:
        roll_call(cluster, facts, WAIT)
    with _missing_peers():
        strategy = _connected(cluster)
        hosts = Hosts(strategy, cluster)
        if is_connected:
            hosts.refuse_difference("the settings", dict(facts))
        devices = strategy.num_replicas_in_sync
        if batch_size % devices:
            raise ConfigError(
                f"`batch_size`, divided by `accumulate`, is {batch_size}, which the {devices} devices of "
                f"{len(cluster.hosts)} hosts can't share evenly; make that a multiple of {devices}"
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
    # One for the whole process: a second one would number its collective operations like the first.
    return tf.distribute.MirroredStrategy(devices)


@functools.cache
def _connected(cluster: Cluster) -> tf.distribute.Strategy:
    """Connects this host to the others; one for the whole process, as above."""
    spec = tf.train.ClusterSpec({"worker": cluster.hosts})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        spec, task_type="worker", task_id=cluster.index, rpc_layer="grpc"
    )
    # A host that is lost just now would be waited for without end, and where Python can do nothing. The alarm
    # ends the process with an exit code that has it started again.
    signal.alarm(WAIT)
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
    """Says in a line that another host is gone, where TensorFlow's operations fail for that.

    Raises:
        HostLost: so it is.
    """
    try:
        yield
    except tf.errors.OpError as error:
        if not _FROM_PEERS.search(str(error)):
            raise
        raise HostLost(
            "another host has stopped or can't be reached any more; start all hosts again, and they go on "
            "from the last checkpoint"
        ) from error
