"""The benchmarks and campaigns still fit the package: each can be imported, which runs none of it."""

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
CAMPAIGNS = Path(__file__).parent / "campaigns"


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.py")))
def test_a_benchmark_can_be_imported(name, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look it up
    spec.loader.exec_module(module)
    assert module.__doc__
    for own in FOLDER.glob("*.py"):
        sys.modules.pop(own.stem, None)


@pytest.mark.skipif(sys.platform != "linux", reason="the campaigns trace processes as Linux does")
@pytest.mark.parametrize("name", sorted(path.stem for path in CAMPAIGNS.glob("[a-z]*.py")))
def test_a_campaign_can_be_imported(name):
    assert importlib.import_module(f"tests.campaigns.{name}").__doc__
