"""The rendezvous before TensorFlow connects hosts, on loopback."""

import concurrent.futures
import contextlib
import json
import socket
import threading
import time

import pytest

from pix2pix_tf.distribution.cluster import Cluster
from pix2pix_tf.distribution.rendezvous import rendezvous
from pix2pix_tf.errors import ConfigError, HostLost, SystemFault
from tests.end_to_end.commands import free_port

FACTS = {"--batch-size": 4, "the version of keras": "3.15"}


@pytest.fixture
def hosts():
    return tuple(f"127.0.0.1:{free_port()}" for _ in range(3))


def rendezvous_errors(hosts, facts, seconds=20.0, indices=None, delay=0.0):
    """Lets hosts answer, each in a thread; returns what each got: an error, or ``None``."""

    def one(index):
        time.sleep(max(delay * index, delay * (index - len(hosts) + 1)))
        try:
            rendezvous(Cluster(hosts, index), facts[index], seconds)
        except Exception as error:
            return error

    indices = range(len(hosts)) if indices is None else indices
    with concurrent.futures.ThreadPoolExecutor(len(hosts)) as pool:
        return list(pool.map(one, indices))


@pytest.mark.parametrize("delay", [0.0, 0.4, -0.4])  # the first comes first, or last
def test_equal_hosts_pass_in_any_order(hosts, delay):
    assert rendezvous_errors(hosts, [FACTS] * 3, delay=delay) == [None] * 3


def test_every_host_reports_differences(hosts):
    found = rendezvous_errors(hosts, [FACTS, FACTS, {**FACTS, "--batch-size": 8}])
    assert [type(each) for each in found] == [ConfigError] * 3
    assert all("--batch-size 4" in str(each) and hosts[2] in str(each) for each in found)


@pytest.mark.parametrize(("present", "missing"), [((0, 1), 2), ((1,), 0)])
def test_a_missing_host_is_named_in_time(hosts, present, missing):
    start = time.monotonic()
    found = rendezvous_errors(hosts, [FACTS] * 3, seconds=1.0, indices=present)
    assert [type(each) for each in found] == [HostLost] * len(present)
    assert all(hosts[missing] in str(each) for each in found)
    assert all(hosts[1] not in str(each) for each in found[1:])
    assert time.monotonic() - start < 10


def test_a_port_in_use_is_named(hosts):
    port = int(hosts[1].rpartition(":")[2])
    with socket.create_server(("", port)):
        [found] = rendezvous_errors(hosts, [FACTS] * 3, seconds=1.0, indices=[1])
    assert isinstance(found, SystemFault)
    assert str(port) in str(found)


def connected_to_first(hosts):
    host, _, port = hosts[0].rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def send_to_first(hosts, line):
    """Sends a line to the first host; returns its reply."""
    with connected_to_first(hosts) as connection:
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        return connection.makefile("rb").readline()


def facts_of_second(hosts):
    return json.dumps({"index": 1, "facts": {"--hosts": ",".join(hosts), **FACTS}}).encode() + b"\n"


def listening_first(hosts):
    """The first host, waiting in a thread for the others."""
    pool = concurrent.futures.ThreadPoolExecutor(1)
    first = pool.submit(lambda: rendezvous_errors(hosts, [FACTS] * 3, seconds=40.0, indices=[0]))
    for _ in range(100):
        with contextlib.suppress(OSError), connected_to_first(hosts):
            return first
        time.sleep(0.05)
    raise AssertionError("the first host does not listen")


STRANGE = [
    b'{"index": 7, "facts": {}}',
    b'{"index": -1, "facts": {}}',
    b'{"index": 0, "facts": {}}',
    b'{"index": true, "facts": {"--hosts": "HOSTS"}}',
    b'{"index": [1], "facts": {"--hosts": "HOSTS"}}',
    b'{"index": 7, "facts": {"--hosts": "HOSTS"}}',
    b'{"index": 1, "facts": {"--hosts": "elsewhere:1,elsewhere:2"}}',
    b'{"index": 1, "facts": ["--hosts"]}',
    b'{"index": 1}',
    b"1",
    b"[" * 100_000,
    b"\xff\xfe",
    b"",
]


def test_strange_input_does_not_stop_the_rendezvous(hosts):
    first = listening_first(hosts)
    for line in STRANGE:
        send_to_first(hosts, line.replace(b"HOSTS", ",".join(hosts).encode()) + b"\n")
    assert rendezvous_errors(hosts, [FACTS] * 3, indices=[1, 2]) == [None] * 2
    assert first.result() == [None]


def test_an_endless_sender_does_not_block(hosts):
    first = listening_first(hosts)
    with connected_to_first(hosts) as connection:

        def drip():
            with contextlib.suppress(OSError):
                while True:
                    connection.sendall(b" ")
                    time.sleep(0.1)

        threading.Thread(target=drip, daemon=True).start()
        assert rendezvous_errors(hosts, [FACTS] * 3, indices=[1, 2]) == [None] * 2
    assert first.result() == [None]


def test_differing_hosts_and_duplicate_index_are_refused(hosts):
    first = listening_first(hosts)
    other = (*hosts[:2], "127.0.0.1:1")
    [found] = rendezvous_errors(other, [FACTS] * 3, indices=[1])
    assert isinstance(found, ConfigError)
    assert ",".join(hosts) in str(found)
    good = concurrent.futures.ThreadPoolExecutor(1).submit(
        lambda: rendezvous_errors(hosts, [FACTS] * 3, indices=[1])
    )
    time.sleep(1.0)
    assert "--host-index" in json.loads(send_to_first(hosts, facts_of_second(hosts)))["message"]
    assert rendezvous_errors(hosts, [FACTS] * 3, indices=[2]) == [None]
    assert good.result() == first.result() == [None]


def test_a_restarted_host_is_accepted(hosts):
    first = listening_first(hosts)
    with connected_to_first(hosts) as killed:
        killed.sendall(facts_of_second(hosts))
        time.sleep(0.5)
    assert rendezvous_errors(hosts, [FACTS] * 3, indices=[1, 2]) == [None] * 2
    assert first.result() == [None]
