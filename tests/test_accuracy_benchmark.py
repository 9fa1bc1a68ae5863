"""The comparison of detectors: that it runs and what it writes; never how long anything takes."""

import runpy
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUN = ROOT / "benchmarks" / "accuracy.py"
if not RUN.is_file():
    pytest.skip("the benchmarks are not here", allow_module_level=True)


@pytest.fixture(scope="module")
def main():
    return runpy.run_path(str(RUN))["main"]


@pytest.fixture
def fddb(tmp_path):
    """One photo of a fold, with the ellipse of its face."""
    (tmp_path / "folds").mkdir()
    (tmp_path / "images").mkdir()
    shutil.copy(ROOT / "s3fd/assets/astronaut.jpg", tmp_path / "images/face.jpg")
    (tmp_path / "folds/FDDB-fold-01.txt").write_text("face\n")
    ellipse = "68 50 1.5708 225 115 1"
    (tmp_path / "folds/FDDB-fold-01-ellipseList.txt").write_text(f"face\n1\n{ellipse}\n")
    return tmp_path


def test_the_table_replaces_the_one_before(main, fddb, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- figures: begin -->\nold\n<!-- figures: end -->\nafter\n")
    assert main(["--fddb", str(fddb), "--readme", str(readme)]) == 0
    text = readme.read_text()
    assert "| s3fd, `light` | 4.6 MB | 1.000 |" in text
    assert "FDDB, 1 photos, 1 faces" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fddb", "gone"], "gone"),
        (["--fddb", ".", "--yunet", "gone.onnx"], "--yunet: there is no file gone.onnx"),
    ],
)
def test_mistakes_are_told(main, arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
