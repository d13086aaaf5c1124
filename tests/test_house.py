"""Who may import whom: the floors of the house, from the ground up, and no circles."""

import ast
import functools
import graphlib
import re
from pathlib import Path

import pix2pix_tf

PACKAGE = Path(__file__).parents[1] / "pix2pix_tf"

# A room may import from its own floor and from those below.
FLOORS = (
    ("errors", "files", "fonts", "quiet", "storage", "validation", "web", "wording"),
    ("config", "devices", "effects", "distribution", "data", "metrics", "sample_grids"),
    ("losses", "networks"),
    ("models",),
    ("runs",),
    ("formats", "recording"),
    ("evaluation",),
    ("training", "exporting", "importing", "inference", "timeline", "demo"),
    ("commands", "__init__", "__main__"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}


def modules():
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}


def imports_of(path):
    """What a module imports of the package, also inside functions, but not for type checkers only."""
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
    """For each module the modules that it imports."""
    known = modules()
    names = set(known) | {name.removesuffix(".__init__") for name in known}

    def resolved(full, base):
        module = full if full in names else base
        return f"{module}.__init__" if f"{module}.__init__" in known else module or "__init__"

    return {name: {resolved(*each) for each in imports_of(path)} - {name} for name, path in known.items()}


def room(module):
    return module.split(".")[0]


def test_every_room_has_a_floor():
    assert {room(module) for module in modules()} == set(FLOOR)


def test_modules_import_from_their_floor_or_below():
    above = {
        (module, other)
        for module, imported in graph().items()
        for other in imported
        if FLOOR[room(other)] > FLOOR[room(module)]
    }
    assert not above


def test_there_are_no_circles():
    # Raises CycleError, which names one.
    list(graphlib.TopologicalSorter(graph()).static_order())


def test_no_package_registry_is_named():
    """Installers know their own, which may be mirrors."""
    hosts = ["npm" + "js.", "py" + "pi.org", "python" + "hosted.", "debian" + ".org"]
    root = PACKAGE.parent
    files = [path for path in root.iterdir() if path.is_file()]
    for folder in (".ci", ".github", "benchmarks", "docs", "pix2pix_tf", "tests", "web"):
        files += [path for path in (root / folder).rglob("*") if "node_modules" not in path.parts]
    for path in files:
        if path.is_file() and path.suffix not in (".png", ".jpg", ".gif", ".tflite", ".pyc"):
            text = path.read_text("utf-8", "ignore").lower()
            assert not [host for host in hosts if host in text], path


def test_no_part_of_training_or_of_what_paints_knows_a_model_by_name():
    from pix2pix_tf.models.registry import MODELS

    rooms = ("training", "recording", "formats", "exporting", "runs", "inference")
    for module, imported in graph().items():
        if room(module) in rooms:
            assert not {f"models.{name}" for name in MODELS} & imported, module


def test_exported_names_have_docstrings():
    for name in pix2pix_tf.__all__:
        generated = f"{name}("  # how the docstring begins that a dataclass gets if it has none
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
