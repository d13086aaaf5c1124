"""pix2pix import: the outputs of PyTorch, and files that are no generators."""

import pickle
import sys

import numpy as np
import pytest

from pix2pix_tf import load
from pix2pix_tf.commands.main import main
from pix2pix_tf.errors import ConfigError, RunError, UserError
from pix2pix_tf.evaluation.options import EvaluateOptions
from pix2pix_tf.importing import import_checkpoint
from pix2pix_tf.importing.pytorch import read_generator
from pix2pix_tf.models.registry import model_for
from pix2pix_tf.runs import RunDirectory, open_run
from pix2pix_tf.training.start import prepare
from pix2pix_tf.training.step import Trainer
from tests.conftest import small_config

torch = pytest.importorskip("torch", reason="the extra torch is not installed")

from tests.importing.networks import Discriminator, ResNet, UNet  # noqa: E402 (it needs torch)

CLOSE = 1e-4


@pytest.fixture
def save(tmp_path):
    """Saves a network's weights, drawn so that every one of them counts; returns the network and the file."""

    def save(network):
        torch.manual_seed(0)
        for name, value in network.state_dict().items():
            if "num_batches" in name:
                continue
            if value.ndim == 4:
                value.normal_(0, value[0].numel() ** -0.5)
            else:
                value.uniform_(0.5, 1.5) if "var" in name or "weight" in name else value.normal_(0, 0.3)
        path = tmp_path / "latest_net_G.pth"
        torch.save(network.state_dict(), path)
        return network, path

    return save


def image(height, width, channels=3):
    return np.random.default_rng(0).uniform(-1, 1, (1, height, width, channels)).astype(np.float32)


def pytorch_output(network, given, eval_mode):
    """The output of their test.py, without dropout: one image at a time, in training mode but for --eval."""
    network.train(not eval_mode)
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.eval()
    with torch.no_grad():
        return network(torch.from_numpy(given.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "norm", "eval_mode", "size"),
    [
        (lambda norm: UNet(8, 2, norm, inputs=1), "batch", False, (256, 256)),
        (lambda norm: UNet(7, 4, norm, outputs=1), "instance", False, (128, 128)),
        (lambda norm: UNet(7, 2, norm), "none", False, (128, 128)),
        (lambda norm: ResNet(9, 4, norm, dropout=False), "instance", False, (64, 80)),
        (lambda norm: ResNet(6, 2, norm, inputs=4), "batch", True, (60, 76)),
    ],
    ids=["unet_256", "unet_128", "none", "resnet_9blocks", "resnet_6blocks"],
)
def test_imported_run_equals_pytorch(save, tmp_path, make, norm, eval_mode, size):
    network, path = save(make(norm))
    run, found = import_checkpoint(path, tmp_path / "run", eval=eval_mode)
    given = image(*size, found.input_channels)
    expected = pytorch_output(network, given, eval_mode)[0]
    assert expected.std() > 0.1
    np.testing.assert_allclose(load(run.path).translate_floats(given[0]), expected, rtol=0, atol=CLOSE)


@pytest.mark.slow
def test_an_imported_run_predicts_and_starts_others(save, tmp_path, capsys, save_image):
    _, path = save(UNet(7, 2, "batch"))
    run = tmp_path / "run"
    assert main(["import", str(path), "--out", str(run)]) == 0
    assert "unet_128" in capsys.readouterr().out
    save_image(tmp_path / "in" / "a.png", 50, 40)
    assert main(["predict", str(run), str(tmp_path / "in"), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "a.png").exists()
    assert main(["import", str(path), "--out", str(run)]) == 2  # there is one
    network = {"generator": "unet_of_pytorch", "upsampling": "transposed", "last_convolution": False}
    size = {"base_filters": 2, "image_size": (128, 128), "input_channels": 3, "output_channels": 3}
    config = small_config(tmp_path / "next", init_from=run, **network, **size)
    trainer = Trainer(model_for(config), config, total_steps=1)
    trainer.load_weights(prepare(config, RunDirectory(config.run_dir)).init_from.checkpoint())
    expected = load(run).network.get_weights()
    for weight, given in zip(trainer.networks["generator"].get_weights(), expected, strict=True):
        np.testing.assert_array_equal(weight, given)


class Hostile:
    def __reduce__(self):
        return (pytest.fail, ("code of the file was run",))


CONTENTS = {
    "text": lambda state: b"not a checkpoint",
    "empty": lambda state: b"",
    "code": lambda state: pickle.dumps(Hostile()),
    "two networks": lambda state: {"netG_A": state, "netG_B": state},
    "another network": lambda state: {"conv.weight": torch.zeros(3, 3, 3, 3)},
    "no numbers": lambda state: {name: value * np.nan for name, value in state.items()},
    "a lost weight": lambda state: dict(list(state.items())[:-4]),
    "another shape": lambda state: {**state, "model.model.3.weight": torch.zeros(5, 3, 4, 4)},
    "one dimension": lambda state: {**state, "model.model.0.weight": torch.zeros(5)},
    "no tensors": lambda state: {"model.model.0.weight": 3},
    "sparse": lambda state: {name: value.to_sparse() for name, value in state.items()},
    "one entry more": lambda state: {**state, "model.model.4.filt": torch.ones(3)},
    "a bias more": lambda state: {**state, "model.model.0.bias": torch.ones(1)},
}

NETWORKS = {
    "discriminator": lambda: Discriminator(1).state_dict(),
    "state_dict()": lambda: UNet(7, 1, "batch"),  # pickled whole
    "unet_32": lambda: UNet(5, 1, "batch").state_dict(),
    "unet_512": lambda: UNet(9, 1, "batch").state_dict(),
    "resnet_3blocks": lambda: ResNet(3, 1, "instance").state_dict(),
    "padding_type": lambda: ResNet(6, 1, "instance", zeros=True).state_dict(),
    "padding_type ": lambda: ResNet(6, 1, "batch", dropout=False, zeros=True).state_dict(),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_damaged_file_is_refused(kind, tmp_path):
    content = CONTENTS[kind](UNet(7, 1, "batch").state_dict())
    path = tmp_path / "net.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(UserError) as refused:
        import_checkpoint(path, tmp_path / "run")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", NETWORKS)
def test_unsupported_network_is_named(kind, tmp_path):
    torch.save(NETWORKS[kind](), tmp_path / "net.pth")
    with pytest.raises(RunError) as refused:
        import_checkpoint(tmp_path / "net.pth", tmp_path / "run")
    assert kind.strip() in str(refused.value)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: {"state_dict": state, "epoch": 200, "optimizer": {"state": {}, "groups": [1]}},
        lambda state: {"state_dict": state, "random_state": torch.zeros(5)},
        lambda state: {
            name: torch.nn.Parameter(value, value.is_floating_point()) for name, value in state.items()
        },
        lambda state: {f"_orig_mod.module.{name}": value for name, value in state.items()},
        lambda state: {f"module._orig_mod.{name}": value.half() for name, value in state.items()},
    ],
    ids=["state_dict", "random state", "parameters", "compiled", "parallel"],
)
def test_wrapped_weights_are_read(wrapped, save, tmp_path):
    network, path = save(UNet(7, 1, "batch"))
    plain = read_generator(path, eval_mode=False)
    torch.save(wrapped(network.state_dict()), path)
    found = read_generator(path, eval_mode=False)
    assert (found.description, found.weights.keys()) == (plain.description, plain.weights.keys())
    for name, value in plain.weights.items():
        np.testing.assert_allclose(found.weights[name], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("direction", "expected"), [(None, "BtoA"), ("AtoB", "AtoB")])
def test_the_data_sets_direction_is_the_default(direction, expected, save, tmp_path):
    _, path = save(UNet(7, 1, "batch"))
    run, _ = import_checkpoint(path, tmp_path / "run", "facades", direction)
    assert run.read_config().data.direction == expected
    undeclared, _ = import_checkpoint(path, tmp_path / "undeclared", direction=direction)
    for asked, found in {None: expected, "AtoB": "AtoB", "BtoA": "BtoA"}.items():
        options = EvaluateOptions((str(undeclared.path),), dataset="facades", direction=asked)
        assert options.configs([open_run(undeclared.path)])[0].data.direction == found


def test_a_missing_file_and_a_missing_package_are_reported(save, tmp_path, monkeypatch):
    for name in ("nothing.pth", "."):
        with pytest.raises(RunError):
            import_checkpoint(tmp_path / name, tmp_path / "run")
    _, path = save(UNet(7, 1, "batch"))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ConfigError, match="torch"):
        import_checkpoint(path, tmp_path / "run")


def test_dataset_path_is_absolute(save, tmp_path, monkeypatch):
    _, path = save(UNet(8, 2, "batch"))
    (tmp_path / "pairs").mkdir()
    monkeypatch.chdir(tmp_path)
    run, _ = import_checkpoint(path, tmp_path / "run", "pairs")
    assert run.read_config().data.dataset == str(tmp_path / "pairs")


@pytest.mark.parametrize("dataset", ["facade", "./facades", "/nowhere"])
def test_missing_dataset_is_refused_as_in_training(dataset, save, tmp_path, capsys):
    _, path = save(UNet(8, 2, "batch"))
    assert main(["train", "--dataset", dataset, "--run-dir", str(tmp_path / "trained")]) == 2
    refused = capsys.readouterr().err
    assert main(["import", str(path), "--out", str(tmp_path / "run"), "--dataset", dataset]) == 2
    assert capsys.readouterr().err == refused
    assert not (tmp_path / "run").exists()
