"""Who trains together: flags, TF_CONFIG, SLURM."""

import json
import types

import pytest

from pix2pix_tf.distribution import Cluster, find_cluster, hosts
from pix2pix_tf.errors import ConfigError

TWO = ("node1:2222", "node2:2222")


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)


def test_single_process_has_no_cluster():
    assert find_cluster() is None
    assert find_cluster(("localhost:2222",), 0) is None


def test_flags_go_before_the_environment(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1", "b:1"]}}))
    assert find_cluster(TWO, 1) == Cluster(TWO, 1)


@pytest.mark.parametrize(
    ("addresses", "index"),
    [
        (TWO, None),
        ((), 0),
        (TWO, 2),
        (TWO, -1),
        (("node1", "node2"), 0),
        (("node1:2222", "node1:2222"), 0),
        (("node1:99999", "node2:1"), 0),
        (("node1:0", "node2:1"), 0),
        (("[::1]:2222", "[::1]:2223"), 0),
        (("::1:2222", "::1:2223"), 0),
        (("node1:2222", ""), 0),
    ],
)
def test_wrong_addresses_are_refused(addresses, index):
    with pytest.raises(ConfigError):
        find_cluster(addresses, index)


@pytest.mark.parametrize(
    ("cluster", "task", "expected"),
    [
        ({"worker": TWO}, {"type": "worker", "index": 1}, Cluster(TWO, 1)),
        ({"chief": TWO[:1], "worker": TWO[1:]}, {"type": "chief", "index": 0}, Cluster(TWO, 0)),
        ({"chief": TWO[:1], "worker": TWO[1:]}, {"type": "worker", "index": 0}, Cluster(TWO, 1)),
        ({"worker": TWO, "evaluator": ["e:1"]}, {"type": "worker", "index": 0}, Cluster(TWO, 0)),
        ({"worker": TWO[:1]}, {"type": "worker", "index": 0}, None),
        ({}, {}, None),
    ],
)
def test_tf_config(monkeypatch, cluster, task, expected):
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    assert find_cluster() == expected


@pytest.mark.parametrize(
    "text",
    [
        "not JSON",
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "ps", "index": 0}}',
        '{"cluster": {"worker": ["a:1", "b:1"], "evaluator": ["c:1"]}, "task": {"type": "evaluator"}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 7}}',
        '{"cluster": {"worker": 3}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_wrong_tf_config_is_refused(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ConfigError):
        find_cluster()


def test_slurm_variables(monkeypatch):
    variables = {
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_PROCID": "3",
        "SLURMD_NODENAME": "node10",
        "SLURM_LOCALID": "1",
        "SLURM_STEP_NODELIST": "node[9-10]",
        "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    addresses = ("node10:8888", "node10:8889", "node9:8888", "node9:8889")
    assert find_cluster() == Cluster(addresses, 1)
    monkeypatch.delenv("SLURM_STEP_NODELIST")
    with pytest.raises(ConfigError):
        find_cluster()


def test_uneven_batch_is_refused(monkeypatch):
    monkeypatch.setattr(hosts, "rendezvous", lambda *_: None)
    monkeypatch.setattr(hosts, "_connected", lambda _: types.SimpleNamespace(num_replicas_in_sync=2))
    with pytest.raises(ConfigError, match="--batch-size"), hosts.joined(Cluster(TWO, 0), 3, {}):
        pass
    with hosts.joined(Cluster(TWO, 0), 4, {}) as joined:
        assert joined.is_chief
