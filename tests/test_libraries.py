"""A source folder uses the libraries of an installed package built from the same sources."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from s3fd._libraries import STAMP, stamp

ROOT = Path(__file__).parents[1]
# The finder of an editable install would answer before the folders of this test.
PRELUDE = """
import sys
sys.meta_path = [f for f in sys.meta_path if "ScikitBuild" not in type(f).__name__]
sys.path.insert(1, "installed")
"""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The root of a clone without libraries, and in it a folder ``installed`` that has them."""
    shutil.copytree(ROOT / "csrc", tmp_path / "csrc")
    ignore = shutil.ignore_patterns("__pycache__", "*.so", "*.safetensors")
    shutil.copytree(ROOT / "s3fd", tmp_path / "s3fd", ignore=ignore)
    installed = tmp_path / "installed" / "s3fd"
    installed.mkdir(parents=True)
    for name in ("_C", "_C_arrays"):
        spec = find_spec(f"s3fd.{name}")
        assert spec is not None
        assert spec.origin is not None
        shutil.copy(spec.origin, installed)
    (installed / STAMP).write_text(stamp(tmp_path / "csrc"))
    return tmp_path


def run(clone: Path, code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"{PRELUDE}\n{code}"]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True)


def test_the_libraries_are_used_where_they_were_built_from_the_same_sources(clone):
    done = run(
        clone,
        "import s3fd.ops, s3fd._arrays\n"
        "print(s3fd.__file__, s3fd._extension.library_path('_C'), s3fd._arrays._library._name)",
    )
    assert done.returncode == 0, done.stderr
    source, operators, arrays = map(Path, done.stdout.split())
    assert source == clone / "s3fd" / "__init__.py"
    assert operators.parent == arrays.parent == clone / "installed" / "s3fd"


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("from s3fd.ops import nms", "the compiled operators are missing"),
        (
            "from s3fd.evaluation import match_detections; match_detections([], [])",
            "the library of s3fd._arrays can't be loaded",
        ),
        (
            "import numpy as np; from s3fd.data.colour import recolour\n"
            "recolour(np.zeros((1, 1, 3), np.uint8), np.eye(3, 4, dtype=np.float32))",
            "the library of s3fd._arrays can't be loaded",
        ),
    ],
)
def test_libraries_of_other_sources_are_not_used(clone, code, text):
    with (clone / "csrc" / "schema.cpp").open("a") as file:
        file.write("// another signature\n")
    done = run(clone, code)
    assert done.returncode == 1
    assert "ImportError" in done.stderr
    assert text in done.stderr
    assert "pip install ." in done.stderr


def test_a_stamp_tells_names_and_contents_of_sources_and_nothing_else(tmp_path):
    (tmp_path / "a.h").write_text("1")
    first = stamp(tmp_path)
    (tmp_path / "notes.txt").write_text("2")
    assert stamp(tmp_path) == first
    (tmp_path / "a.h").rename(tmp_path / "b.h")
    second = stamp(tmp_path)
    (tmp_path / "b.h").write_text("2")
    assert len({first, second, stamp(tmp_path)}) == 3


def test_the_installed_libraries_carry_the_stamp_of_the_sources_here():
    spec = find_spec("s3fd._C")
    assert spec is not None
    assert spec.origin is not None
    stored = Path(spec.origin).with_name(STAMP).read_text().strip()
    assert stored == stamp(ROOT / "csrc")
