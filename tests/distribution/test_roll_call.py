"""The roll call before TensorFlow connects hosts, on loopback."""

import concurrent.futures
import socket
import threading
import time

import pytest

from pix2pix_tf.distribution.cluster import Cluster
from pix2pix_tf.distribution.roll_call import roll_call
from pix2pix_tf.errors import ConfigError, HostLost, SystemFault
from tests.end_to_end.servers import free_port

FACTS = {"`batch_size`": 4, "the version of keras": "3.15"}


@pytest.fixture
def hosts():
    return tuple(f"127.0.0.1:{free_port()}" for _ in range(3))


def called(hosts, facts, seconds=20.0, indices=None, delay=0.0):
    """Lets hosts answer, each in a thread; returns what each got: an error, or ``None``."""

    def one(index):
        time.sleep(max(delay * index, delay * (index - len(hosts) + 1)))
        try:
            roll_call(Cluster(hosts, index), facts[index], seconds)
        except Exception as error:
            return error

    indices = range(len(hosts)) if indices is None else indices
    with concurrent.futures.ThreadPoolExecutor(len(hosts)) as pool:
        return list(pool.map(one, indices))


@pytest.mark.parametrize("delay", [0.0, 0.4, -0.4])  # the first comes first, or last
def test_hosts_that_agree_go_on_in_whatever_order_they_come(hosts, delay):
    assert called(hosts, [FACTS] * 3, delay=delay) == [None] * 3


def test_what_differs_is_said_on_every_host_with_the_hosts_name(hosts):
    found = called(hosts, [FACTS, FACTS, {**FACTS, "`batch_size`": 8}])
    assert [type(each) for each in found] == [ConfigError] * 3
    assert all("`batch_size` 4" in str(each) and hosts[2] in str(each) for each in found)


def test_a_host_that_does_not_come_is_named_in_time(hosts):
    start = time.monotonic()
    found = called(hosts, [FACTS] * 3, seconds=2.0, indices=[0, 1])
    assert [type(each) for each in found] == [HostLost] * 2
    assert all(hosts[2] in str(each) and hosts[1] not in str(each) for each in found)
    assert time.monotonic() - start < 10


def test_a_first_host_that_does_not_come_is_named_in_time(hosts):
    [found] = called(hosts, [FACTS] * 3, seconds=1.0, indices=[1])
    assert isinstance(found, HostLost)
    assert hosts[0] in str(found)


def test_a_port_that_another_program_has_is_named(hosts):
    port = int(hosts[1].rpartition(":")[2])
    with socket.create_server(("", port)):
        [found] = called(hosts, [FACTS] * 3, seconds=1.0, indices=[1])
    assert isinstance(found, SystemFault)
    assert str(port) in str(found)


def test_what_still_stands_at_the_first_address_is_waited_out(hosts):
    """Such as the first host's earlier process, which takes connections and says nothing that is meant."""
    port = int(hosts[0].rpartition(":")[2])
    old = socket.create_server(("", port))

    def be_in_the_way():
        connection, _ = old.accept()
        connection.sendall(b"PRI * HTTP/2.0\r\n")
        connection.close()
        old.close()

    threading.Thread(target=be_in_the_way).start()
    late = concurrent.futures.ThreadPoolExecutor(1).submit(
        lambda: (time.sleep(1.0), called(hosts, [FACTS] * 3, indices=[0]))[1]
    )
    assert called(hosts, [FACTS] * 3, indices=[1, 2]) == [None] * 2
    assert late.result() == [None]
