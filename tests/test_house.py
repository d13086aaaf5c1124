"""The architecture: which module may import which, without cycles; names and messages."""

import ast
import functools
import graphlib
import re
from pathlib import Path

import pix2pix_tf

PACKAGE = Path(__file__).parents[1] / "pix2pix_tf"

# A part may import from its own layer and from those above it in this list.
LAYERS = (
    ("errors", "files", "fonts", "quiet", "signals", "storage", "validation", "web", "wording"),
    ("config", "devices", "effects", "distribution", "data", "metrics", "sample_grids"),
    ("losses", "networks"),
    ("models",),
    ("runs",),
    ("formats", "recording"),
    ("evaluation",),
    ("training", "exporting", "importing", "inference", "timeline", "demo"),
    ("commands", "__init__", "__main__"),
)
LAYER_OF = {part: number for number, parts in enumerate(LAYERS) for part in parts}


def modules():
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}


def imports_of(path):
    """Yields what a module imports from the package, without imports for type checkers."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pix2pix_tf"):
            base = node.module.removeprefix("pix2pix_tf").lstrip(".")
            for alias in node.names:
                yield f"{base}.{alias.name}".lstrip("."), base
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("pix2pix_tf."):
                    yield (alias.name.removeprefix("pix2pix_tf."),) * 2


@functools.cache
def graph():
    """Returns the imported modules of each module."""
    known = modules()
    names = set(known) | {name.removesuffix(".__init__") for name in known}

    def resolved(full, base):
        module = full if full in names else base
        return f"{module}.__init__" if f"{module}.__init__" in known else module or "__init__"

    return {name: {resolved(*each) for each in imports_of(path)} - {name} for name, path in known.items()}


def part_of(module):
    return module.split(".")[0]


def test_every_part_has_a_layer():
    assert {part_of(module) for module in modules()} == set(LAYER_OF)


def test_modules_import_from_their_layer_or_below():
    above = {
        (module, other)
        for module, imported in graph().items()
        for other in imported
        if LAYER_OF[part_of(other)] > LAYER_OF[part_of(module)]
    }
    assert not above


def test_there_are_no_cycles():
    # Raises CycleError, which names one.
    list(graphlib.TopologicalSorter(graph()).static_order())


def test_no_package_registry_is_named():
    """Installers know their registry, which may be a mirror."""
    hosts = ["npm" + "js.", "py" + "pi.org", "python" + "hosted.", "debian" + ".org"]
    root = PACKAGE.parent
    files = [path for path in root.iterdir() if path.is_file()]
    for folder in (
        ".ci",
        ".github",
        "benchmarks",
        "docker",
        "docs",
        "notebooks",
        "pix2pix_tf",
        "tests",
        "web",
    ):
        files += [path for path in (root / folder).rglob("*") if "node_modules" not in path.parts]
    for path in files:
        if path.is_file() and path.suffix not in (".png", ".jpg", ".gif", ".tflite", ".pyc"):
            text = path.read_text("utf-8", "ignore").lower()
            assert not [host for host in hosts if host in text], path


def test_training_and_inference_know_no_model_by_name():
    from pix2pix_tf.models.registry import MODELS

    parts = ("training", "recording", "formats", "exporting", "runs", "inference")
    for module, imported in graph().items():
        if part_of(module) in parts:
            assert not {f"models.{name}" for name in MODELS} & imported, module


def test_exported_names_have_docstrings():
    for name in pix2pix_tf.__all__:
        generated = f"{name}("  # start of the docstring that Python gives a dataclass without one
        assert not (getattr(pix2pix_tf, name).__doc__ or generated).startswith(generated), name


def test_messages_spell_settings_as_flags():
    """A setting in backticks is for docstrings."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        strings = [
            node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings
        ]
        assert not [text for text in strings if re.search(r"(?<!`)`[a-z_]+`(?!`)", text)], path
