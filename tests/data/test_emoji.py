"""The data set emoji, from tarballs and from a server of four real pairs (MIT, see emoji/LICENSE)."""

import functools
import http.server
import io
import shutil
import subprocess
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest

from pix2pix_tf import preset, replace
from pix2pix_tf.data import download, emoji
from pix2pix_tf.data.named import named_folder, stored_counts
from pix2pix_tf.data.names import facts_of
from pix2pix_tf.data.sources import open_dataset
from pix2pix_tf.errors import DataError, SystemFault
from tests.data.emoji_pairs import digest
from tests.data.folders import read_all

FILES = Path(__file__).with_name("emoji")
PAIRS = {"1f436": "dog-face", "1f34e": "red-apple", "1f319": "crescent-moon", "1f600": "grinning-face"}


@pytest.fixture(autouse=True)
def _four_pairs(tmp_path, monkeypatch):
    splits = ["train", "train", "val", "test"]
    lines = [
        f"{split} {code} {name} {digest((FILES / f'{code}.webp').read_bytes())}"
        for split, (code, name) in zip(splits, PAIRS.items(), strict=True)
    ]
    pairs = tmp_path / "list" / "pairs.txt"
    pairs.parent.mkdir()
    pairs.write_text("# four\n" + "\n".join(lines))
    shutil.copy(FILES / "LICENSE", pairs.parent)
    monkeypatch.setattr(emoji, "PAIRS", pairs)
    monkeypatch.setattr(emoji, "ICONS_DIGEST", digest((FILES / "icons.json").read_bytes()))
    monkeypatch.setattr(download, "PAUSES_SECONDS", ())
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def packages(tmp_path):
    """A folder in which a server has the files of both packages."""
    root = tmp_path / "server"
    for package, name in ((emoji.FLAT, "icons.json"), *((emoji.THREE_D, f"{code}.webp") for code in PAIRS)):
        folder = root / package / ("assets" if name.endswith("webp") else "")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(FILES / name, folder)
    return root


@pytest.fixture
def tarballs(tmp_path, packages):
    folder = tmp_path / "내 자료"
    folder.mkdir()
    for package in (emoji.FLAT, emoji.THREE_D):
        with tarfile.open(emoji._tarball(folder, package), "w:gz") as tar:
            tar.add(packages / package, "package")
    return folder


@pytest.fixture
def server(packages):
    paths = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            paths.append(self.path)

    handler = functools.partial(Handler, directory=packages)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", paths
        listening.shutdown()
        thread.join()


def opened(data_dir, **settings):
    return open_dataset(replace(preset("emoji"), data_dir=data_dir, **settings))


def test_tarballs_and_server_give_the_same_pairs_which_match(tmp_path, tarballs, server):
    dataset = opened(tmp_path / "one", archive=tarballs, input_channels=4, output_channels=4)
    found = opened(tmp_path / "two", mirror_url=server[0], input_channels=4, output_channels=4)
    assert dataset.identity() == found.identity()
    assert not (tmp_path / "two" / "downloads" / "pix2pix" / "emoji").exists()
    assert stored_counts("emoji", tmp_path / "two")["trainA"] == 2
    names = []
    for (images,) in dataset.splits.values():
        names += images.names
        for flat, three_d in read_all(images):
            assert flat.shape == three_d.shape == (256, 256, 4)
            shapes = flat[..., 3] > 127, three_d[..., 3] > 127
            assert (shapes[0] & shapes[1]).sum() > 0.8 * (shapes[0] | shapes[1]).sum()
            assert np.abs(flat.astype(int) - three_d)[shapes[0] & shapes[1]].mean() < 60
    assert sorted(names) == sorted(PAIRS.values())
    assert "Microsoft" in (named_folder("emoji", tmp_path / "one") / "LICENSE").read_text()


def test_an_interrupted_download_fetches_only_what_is_missing(tmp_path, packages, server):
    address, paths = server
    lost = packages / emoji.THREE_D / "assets" / "1f600.webp"
    content = lost.read_bytes()
    lost.write_bytes(b"login")
    with pytest.raises(SystemFault, match=r"1f600.webp.*SHA-256"):
        opened(tmp_path / "cache", mirror_url=address)
    lost.write_bytes(content)
    before = len(paths)
    assert opened(tmp_path / "cache", mirror_url=address).kind == "pairs"
    assert [Path(path.split()[1] if " " in path else path).name for path in paths[before:]] == ["1f600.webp"]


def test_offline_costs_one_line_at_once(tmp_path, monkeypatch):
    cached = tmp_path / "downloads" / "pix2pix" / "emoji" / emoji.FLAT
    cached.mkdir(parents=True)
    shutil.copy(FILES / "icons.json", cached)
    monkeypatch.setattr(download, "PAUSES_SECONDS", (600.0,))
    with pytest.raises(SystemFault, match="offline") as fault:
        opened(tmp_path, mirror_url="http://127.0.0.1:9")
    assert "\n" not in str(fault.value)


def test_tarballs_that_are_no_use_cost_one_line(tmp_path, tarballs):
    flat, three_d = (emoji._tarball(tarballs, package) for package in (emoji.FLAT, emoji.THREE_D))

    def refused():
        with pytest.raises(DataError) as fault:
            opened(tmp_path / "cache", archive=tarballs)
        assert "\n" not in str(fault.value)
        return str(fault.value)

    content = three_d.read_bytes()
    three_d.write_bytes(content[: len(content) // 2])
    assert f"{three_d}: damaged" in refused()
    with tarfile.open(three_d, "w:gz") as tar:
        member = tarfile.TarInfo("package/assets/1f436.webp")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"other"))
    assert "1f436.webp is damaged" in refused()
    shutil.copy(flat, three_d)
    assert "is missing" in refused()
    three_d.unlink()
    assert str(three_d) in refused()
    with pytest.raises(DataError, match="npm pack"):
        opened(tmp_path / "cache", archive=flat)
    assert stored_counts("emoji", tmp_path / "cache") == {}


@pytest.mark.slow
def test_the_real_packages(tmp_path, monkeypatch):
    monkeypatch.undo()
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    packed = subprocess.run(
        [npm, "pack", emoji.FLAT, emoji.THREE_D], cwd=tmp_path, capture_output=True, timeout=300
    )
    if packed.returncode:
        pytest.skip("npm reaches no registry")
    (tmp_path / "images").mkdir()
    emoji.write_pairs(tmp_path / "images", tmp_path / "downloads", tmp_path, None)
    counts = {path.name: len(list(path.iterdir())) for path in (tmp_path / "images").glob("*[AB]")}
    expected = facts_of("emoji").counts
    assert counts == {f"{split}{side}": count for split, count in expected.items() for side in "AB"}
