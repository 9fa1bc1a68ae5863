"""The structure of the package, as its imports draw it: downwards only, and no circle."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "s3fd"

# From top to bottom; what stands in one line does not know each other. The front door imports what
# is behind it at first use.
LAYERS = """
    __main__
    cli
    commands
    __init__
    training analysis export
    evaluation ray demo
    data detector
    search
    closer multiscale network
    scaled_image
    detections models
    drawing interchange
    images ops
    photos pipeline
    defaults devices file_kinds files memory overlaps padding settings
    messages
    _arrays _extension
    _lazy _libraries
"""
DEPTH = {room: depth for depth, line in enumerate(LAYERS.split("\n")) for room in line.split()}


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports_of(module: str) -> Iterator[str]:
    """The modules of the package that ``module`` imports, in functions and for types too.

    The package itself is in, by its version and folder, before any of its modules.
    """
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            yield from ({alias.name for alias in node.names} & MODULES.keys() - {"s3fd"})
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are written out in full"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in MODULES:
                    yield inner
                elif node.module in MODULES and inner != "s3fd.__version__":
                    yield node.module


GRAPH = {module: set(imports_of(module)) - {module} for module in MODULES}


def room(module: str) -> str:
    return "__init__" if module == "s3fd" else module.split(".")[1]


def test_every_room_has_its_layer() -> None:
    assert {room(module) for module in MODULES} == DEPTH.keys()


def test_no_module_is_in_a_circle() -> None:
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_imports_go_downwards() -> None:
    upwards = [
        f"{module} imports {imported}"
        for module, all_imported in GRAPH.items()
        for imported in all_imported
        if room(module) != room(imported) and DEPTH[room(module)] >= DEPTH[room(imported)]
    ]
    assert upwards == []


def test_a_grids_description_and_the_twins_know_nothing_of_the_library() -> None:
    pure = {"s3fd.ops.grid", *(m for m in MODULES if m.startswith("s3fd.ops.reference"))}
    allowed = {*pure, "s3fd.ops._checks"}
    for module in pure:
        assert GRAPH[module] <= allowed, module
    assert GRAPH["s3fd.ops.grid"] == {"s3fd.ops._checks"}
    assert GRAPH["s3fd.ops._checks"] == set()
