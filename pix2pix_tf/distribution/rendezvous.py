"""Checks that all hosts are present and have equal settings, before TensorFlow connects them.

TensorFlow would wait forever for a missing host, without a message. Therefore host 0 first listens on its
port, which TensorFlow uses afterwards. Each host sends a line of JSON, and all receive the outcome.
"""

from __future__ import annotations

import contextlib
import json
import socket
import socketserver
import threading
import time
from collections.abc import Mapping
from typing import Any

from pix2pix_tf.distribution.cluster import Cluster
from pix2pix_tf.errors import ConfigError, HostLost, SystemFault
from pix2pix_tf.files import first_line

_HOSTS = "--hosts"
_RETRY_SECONDS = 0.2
_LONGEST_LINE = 1 << 20
_ERRORS = {"missing": HostLost, "differing": ConfigError}

Facts = Mapping[str, Any]


def rendezvous(cluster: Cluster, facts: Facts, seconds: float) -> None:
    """Waits until all hosts are present, and compares their facts by key."""
    deadline = time.monotonic() + seconds
    facts = {_HOSTS: ",".join(cluster.hosts), **facts}
    port = int(cluster.hosts[cluster.index].rpartition(":")[2])
    try:  # all hosts listen on the port that TensorFlow will use, to detect a port in use
        server = _Server(("", port), _Connection)
    except OSError as error:
        raise SystemFault(
            f"port {port} of {cluster.named(cluster.index)} is not available ({error.strerror}); stop the "
            "program that uses it, or give another port in --hosts"
        ) from error
    with server:
        if cluster.index == 0:
            outcome = server.collect(cluster, json.loads(json.dumps(facts)), deadline)
        else:
            outcome = _report(cluster, facts, deadline)
    if outcome["error"]:
        raise _ERRORS[outcome["error"]](outcome["message"])


class _Server(socketserver.ThreadingTCPServer):
    """Receives the facts of the other hosts; unrelated programs that connect can't block it."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128

    def collect(self, cluster: Cluster, facts: Facts, deadline: float) -> dict[str, str]:
        """Waits for the facts of all hosts, sends them the outcome and returns it."""
        self.cluster, self.facts = cluster, facts
        self.present: dict[int, tuple[socket.socket, Facts]] = {}
        self.changed = threading.Condition()  # of `present`
        others = range(1, len(cluster.hosts))
        threading.Thread(target=self.serve_forever, args=(_RETRY_SECONDS,), daemon=True).start()
        with self.changed:
            self.changed.wait_for(
                lambda: len(self.present) == len(others), max(0, deadline - time.monotonic())
            )
            outcome = {"error": "", "message": ""}
            differences = [text for index in sorted(self.present) for text in self._differences(index)]
            if missing := [cluster.named(index) for index in others if index not in self.present]:
                advice = f"start the same command on it, and check that it can reach {cluster.hosts[0]}"
                outcome = {"error": "missing", "message": f"{', '.join(missing)} did not connect; {advice}"}
            elif differences:
                message = f"the hosts have different settings ({'; '.join(differences)}); "
                outcome = {"error": "differing", "message": f"{message}use the same on all hosts"}
            for connection, _ in self.present.values():
                with contextlib.suppress(OSError):  # TensorFlow detects a host that has stopped
                    _send(connection, outcome)
        self.shutdown()
        return outcome

    def _differences(self, index: int) -> list[str]:
        first, other = self.cluster.named(0), self.cluster.named(index)
        own, theirs = self.facts, self.present[index][1]
        return [
            f"{name} {own.get(name)} on {first}, {theirs.get(name)} on {other}"
            for name in {**own, **theirs}
            if own.get(name) != theirs.get(name)
        ]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignores invalid data, which any program on the network may send, and broken connections."""


class _Connection(socketserver.StreamRequestHandler):
    """A connection of another host, which waits for the outcome."""

    server: _Server
    timeout = 5.0  # seconds

    def handle(self) -> None:
        server, hosts = self.server, self.server.facts[_HOSTS]
        answer = json.loads(self.rfile.readline(_LONGEST_LINE))
        index, theirs = answer["index"], dict(answer["facts"])
        is_ours = type(index) is int and 0 < index < len(server.cluster.hosts)
        with server.changed:
            # The earlier connection of a restarted host may be closing.
            is_free = server.changed.wait_for(lambda: index not in server.present, _RETRY_SECONDS)
            if not (is_ours and is_free and theirs.get(_HOSTS) == hosts):
                message = (
                    f"{server.cluster.named(0)} does not expect this process; give all hosts the same "
                    f"--hosts ({hosts} on that host), and each its own --host-index"
                )
                return _send(self.connection, {"error": "differing", "message": message})
            server.present[index] = self.connection, theirs
            server.changed.notify_all()
        try:
            self.connection.settimeout(None)
            self.connection.recv(1)  # until the host has the outcome, or is lost
        finally:
            with server.changed:
                del server.present[index]
                server.changed.notify_all()


def _report(cluster: Cluster, facts: Facts, deadline: float) -> dict[str, str]:
    """On the other hosts: sends the facts to host 0 and returns the outcome."""
    host, _, port = cluster.hosts[0].rpartition(":")
    reason = "no answer"
    while (left := deadline - time.monotonic()) > 0:
        try:
            with socket.create_connection((host, int(port)), timeout=left) as connection:
                _send(connection, {"index": cluster.index, "facts": facts})
                connection.settimeout(left + 10.0)  # host 0's deadline may be later
                outcome = json.loads(connection.makefile("rb").readline(_LONGEST_LINE))
                return {key: str(outcome[key]) for key in ("error", "message")}
        # Another program, such as a process that remains from an earlier training, may answer anything.
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            reason = first_line(error)
        time.sleep(_RETRY_SECONDS)
    advice = "start the same command on it, and check that its port is open"
    return {"error": "missing", "message": f"{cluster.named(0)} can't be reached ({reason}); {advice}"}


def _send(connection: socket.socket, content: Mapping[str, Any]) -> None:
    connection.sendall(json.dumps(content).encode() + b"\n")
