"""Checks that all hosts are present and have equal settings, before TensorFlow connects them.

TensorFlow would wait forever for a missing host, without a message. Therefore host 0 first listens on its
port, which TensorFlow uses afterwards. Each host sends a line of JSON, and all receive the outcome.
"""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

from pix2pix_tf.distribution.cluster import Cluster
from pix2pix_tf.errors import ConfigError, HostLost, SystemFault
from pix2pix_tf.files import first_line

_HOSTS = "--hosts"
_GREETING = "pix2pix rendezvous"
_RETRY_SECONDS = 0.2
_ANSWER_SECONDS = 5.0
_LONGEST_LINE = 1 << 20

# Errors from invalid data, which any program on the network may send.
_BAD_ANSWER = (OSError, ValueError, KeyError, TypeError, RecursionError)

_ERRORS = {"missing": HostLost, "differing": ConfigError}

Facts = Mapping[str, Any]


def rendezvous(cluster: Cluster, facts: Facts, seconds: float) -> None:
    """Waits until all hosts are present, and compares their facts by key."""
    deadline = time.monotonic() + seconds
    facts = {_HOSTS: ",".join(cluster.hosts), **facts}
    with _own_port(cluster) as server:
        if cluster.index == 0:
            outcome = _collect(cluster, facts, server, deadline)
        else:
            outcome = _report(cluster, facts, deadline)
    for kind, message in outcome.items():
        raise _ERRORS[kind](message)


@contextlib.contextmanager
def _own_port(cluster: Cluster) -> Iterator[socket.socket]:
    """Listens on the port that TensorFlow will use, so that every host detects a port in use."""
    port = int(cluster.hosts[cluster.index].rpartition(":")[2])
    try:
        server = socket.create_server(("", port))
    except OSError as error:
        raise SystemFault(
            f"port {port} of {cluster.named(cluster.index)} is not available ({error.strerror}); stop the "
            "program that uses it, or give another port in --hosts"
        ) from error
    with server:
        yield server


def _collect(cluster: Cluster, facts: Facts, server: socket.socket, deadline: float) -> dict[str, str]:
    """On host 0: receives the facts of all hosts, sends them the outcome and returns it."""
    own = json.loads(json.dumps(facts))
    connections: dict[int, socket.socket] = {}
    differences: dict[int, str] = {}

    def absent() -> list[int]:
        others = range(1, len(cluster.hosts))
        return [index for index in others if index not in connections or _is_closed(connections[index])]

    with contextlib.ExitStack() as open_connections:
        while (missing := absent()) and (left := deadline - time.monotonic()) > 0:
            server.settimeout(left)
            with contextlib.suppress(*_BAD_ANSWER), contextlib.ExitStack() as until_accepted:
                connection = until_accepted.enter_context(server.accept()[0])
                connection.settimeout(_ANSWER_SECONDS)  # limits the delay by unrelated programs
                _send(connection, {"greeting": _GREETING})
                answer = _receive(connection, _ANSWER_SECONDS)
                index, theirs = answer["index"], dict(answer["facts"])
                is_ours = theirs.get(_HOSTS) == own[_HOSTS] and type(index) is int
                if not is_ours or index not in absent():
                    refusal = (
                        f"{cluster.named(0)} does not expect this process; give all hosts the same --hosts "
                        f"({own[_HOSTS]} on that host), and each its own --host-index"
                    )
                    _send(connection, {"differing": refusal})
                    continue
                differences[index] = "; ".join(
                    f"{name} {own.get(name)} on {cluster.named(0)}, {theirs.get(name)} on "
                    f"{cluster.named(index)}"
                    for name in {**own, **theirs}
                    if own.get(name) != theirs.get(name)
                )
                connections[index] = connection
                open_connections.push(until_accepted.pop_all())
        outcome = {}
        if missing:
            names = ", ".join(cluster.named(index) for index in missing)
            outcome["missing"] = (
                f"{names} did not connect; start the same command on it, and check that it can reach "
                f"{cluster.hosts[0]}"
            )
        elif any(differences.values()):
            found = "; ".join(filter(None, differences.values()))
            outcome["differing"] = f"the hosts have different settings ({found}); use the same on all hosts"
        for connection in connections.values():
            with contextlib.suppress(OSError):  # TensorFlow detects a host that has stopped
                _send(connection, outcome)
    return outcome


def _is_closed(connection: socket.socket) -> bool:
    """Returns whether a host that has sent its facts has disconnected. A waiting host sends nothing."""
    connection.setblocking(False)
    try:
        return not connection.recv(1)
    except BlockingIOError:
        return False
    except OSError:
        return True
    finally:
        connection.settimeout(_ANSWER_SECONDS)


def _report(cluster: Cluster, facts: Facts, deadline: float) -> dict[str, str]:
    """On the other hosts: sends the facts to host 0 and returns the outcome."""
    host, _, port = cluster.hosts[0].rpartition(":")
    reason: object = "no answer"
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection((host, int(port)), timeout=left) as connection:
                # A process that remains from an earlier training sends no greeting.
                if _receive(connection, min(left, _ANSWER_SECONDS))["greeting"] == _GREETING:
                    _send(connection, {"index": cluster.index, "facts": facts})
                    outcome = _receive(connection, left + 10.0)  # host 0's deadline may be later
                    return {kind: str(outcome[kind]) for kind in _ERRORS if kind in outcome}
        except _BAD_ANSWER as error:
            reason = first_line(error)
        time.sleep(_RETRY_SECONDS)
    return {
        "missing": f"{cluster.named(0)} can't be reached ({reason}); start the same command on it, and "
        "check that its port is open"
    }


def _send(connection: socket.socket, content: Mapping[str, Any]) -> None:
    connection.sendall(json.dumps(content).encode() + b"\n")


def _receive(connection: socket.socket, seconds: float) -> Any:
    """Returns a JSON line, or raises one of `_BAD_ANSWER` if none arrives within ``seconds``."""
    deadline, line = time.monotonic() + seconds, b""
    while not line.endswith(b"\n"):
        connection.settimeout(max(deadline - time.monotonic(), 0.001))
        part = connection.recv(1 << 16)
        line += part
        if not part or len(line) > _LONGEST_LINE:
            raise ValueError("no answer")
    return json.loads(line)
