"""Before TensorFlow connects the hosts: are all there, and do they want the same?

TensorFlow would wait for a missing host without end and without a word. So the first host hears the others
on its port, which TensorFlow takes afterwards: each sends a line of JSON, and all are sent the outcome.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

from pix2pix_tf.distribution.cluster import Cluster
from pix2pix_tf.errors import ConfigError, HostLost, SystemFault
from pix2pix_tf.files import first_line

_HOSTS = "`hosts`"
_GREETING = "pix2pix roll call"
_AGAIN = 0.2  # seconds until a host that isn't there yet is tried again
_ANSWER = 5.0  # seconds
_LONGEST_LINE = 1 << 20

# Whatever may be wrong with what comes from the network: anybody may send anything.
_NO_ANSWER = (OSError, ValueError, KeyError, TypeError, RecursionError)

Facts = Mapping[str, Any]


def roll_call(cluster: Cluster, facts: Facts, seconds: float) -> None:
    """Waits some seconds until all hosts are there, and compares facts, by what messages call them."""
    deadline = time.monotonic() + seconds
    facts = {_HOSTS: ",".join(cluster.hosts), **facts}
    with _own_port(cluster) as server:
        verdict = (
            _heard(cluster, facts, server, deadline)
            if cluster.index == 0
            else _told(cluster, facts, deadline)
        )
    if verdict["missing"]:
        raise HostLost(verdict["missing"])
    if verdict["differing"]:
        raise ConfigError(verdict["differing"])


@contextlib.contextmanager
def _own_port(cluster: Cluster) -> Iterator[socket.socket]:
    """Takes the port that TensorFlow will take: every host notices here that another program has it."""
    port = int(cluster.hosts[cluster.index].rpartition(":")[2])
    try:
        server = socket.create_server(("", port))
    except OSError as error:
        raise SystemFault(
            f"port {port} of {cluster.named(cluster.index)} can't be taken ({error.strerror}); end the "
            "program that has it, or give another in `hosts`"
        ) from error
    with server:
        yield server


def _heard(cluster: Cluster, facts: Facts, server: socket.socket, deadline: float) -> dict[str, str]:
    """Hears all others, on the first host; returns what is wrong, and tells them."""
    own = json.loads(json.dumps(facts))
    connections: dict[int, socket.socket] = {}
    differing: dict[int, list[str]] = {}
    strays = ""

    def absent() -> list[int]:
        others = range(1, len(cluster.hosts))
        return [index for index in others if index not in connections or _has_gone(connections[index])]

    with contextlib.ExitStack() as open_ones:
        while (missing := absent()) and (left := deadline - time.monotonic()) > 0:
            server.settimeout(left)
            with contextlib.suppress(*_NO_ANSWER), contextlib.ExitStack() as until_taken:
                connection = until_taken.enter_context(server.accept()[0])
                connection.settimeout(_ANSWER)  # others wait while one that isn't a host says nothing
                _send(connection, {"greeting": _GREETING})
                answer = _receive(connection, _ANSWER)
                index, theirs = answer["index"], dict(answer["facts"])
                is_one = theirs.get(_HOSTS) == own[_HOSTS] and type(index) is int
                if not is_one or index not in absent():
                    _send(connection, {"missing": "", "differing": _sent_away(cluster)})
                    said = f"host {index!a} of {theirs.get(_HOSTS)!a}"[:200]
                    strays = f", but a process at {connection.getpeername()[0]} as {said}"
                    continue
                differing[index] = _differences(cluster, index, own, theirs)
                connections[index] = connection
                open_ones.push(until_taken.pop_all())
        verdict = {"missing": "", "differing": ""}
        if differences := "; ".join(itertools.chain(*differing.values())):
            verdict["differing"] = f"the hosts were started differently ({differences}); make them alike"
        if missing:
            names = ", ".join(cluster.named(index) for index in missing)
            verdict["missing"] = (
                f"{names} did not come{strays}; start the same command there, and see that its network "
                f"reaches {cluster.hosts[0]}"
            )
        for connection in connections.values():
            with contextlib.suppress(OSError):  # who has gone meanwhile is missed by TensorFlow
                _send(connection, verdict)
    return verdict


def _sent_away(cluster: Cluster) -> str:
    """Says what is wrong to a process of another training, or to a second one of the same index."""
    return (
        f"{cluster.named(0)} does not wait for this process; give all hosts the same `hosts` (there "
        f"{','.join(cluster.hosts)}), and each its own `host_index`"
    )


def _has_gone(connection: socket.socket) -> bool:
    """Whether a host that has answered was ended meanwhile: it says nothing more while it waits."""
    connection.setblocking(False)
    try:
        return not connection.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(_ANSWER)


def _told(cluster: Cluster, facts: Facts, deadline: float) -> dict[str, str]:
    """Tells the first host, as another, and returns what it says."""
    host, _, port = cluster.hosts[0].rpartition(":")
    reason: object = "no answer"
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection((host, int(port)), timeout=left) as connection:
                # What still stands there of an earlier training doesn't greet.
                if _receive(connection, min(left, _ANSWER))["greeting"] == _GREETING:
                    _send(connection, {"index": cluster.index, "facts": facts})
                    verdict = _receive(connection, left + 10.0)  # its deadline may be later
                    return {what: str(verdict[what]) for what in ("missing", "differing")}
        except _NO_ANSWER as error:
            reason = first_line(error)
        time.sleep(_AGAIN)
    return {
        "missing": f"{cluster.named(0)} could not be reached ({reason}); start the same command there, and "
        "see that its port is open",
        "differing": "",
    }


def _differences(cluster: Cluster, index: int, own: Any, other: Any) -> list[str]:
    """Lists what a host wants otherwise than the first."""
    return [
        f"{name} {own.get(name)} on {cluster.named(0)}, {other.get(name)} on {cluster.named(index)}"
        for name in {**own, **other}
        if own.get(name) != other.get(name)
    ]


def _send(connection: socket.socket, content: Mapping[str, Any]) -> None:
    connection.sendall(json.dumps(content).encode() + b"\n")


def _receive(connection: socket.socket, seconds: float) -> Any:
    """Returns the content of the line that comes within some seconds; one of `_NO_ANSWER` where none does."""
    deadline, line = time.monotonic() + seconds, b""
    while not line.endswith(b"\n"):
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        part = connection.recv(1 << 16)
        line += part
        if not part or len(line) > _LONGEST_LINE:
            raise ValueError("no answer")
    return json.loads(line)
