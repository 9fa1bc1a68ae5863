"""The examples run, and what they check holds."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
if not EXAMPLES.is_dir():
    pytest.skip("the examples are not here", allow_module_level=True)
OF_TORCHVISION = {"torchvision_retinanet.py", "torchvision_ssd.py"}
PHOTO = EXAMPLES.parent / "s3fd" / "assets" / "astronaut.jpg"


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


def test_every_example_is_listed_and_run() -> None:
    names = {file.name for file in EXAMPLES.glob("*.py")}
    listed = (EXAMPLES / "README.md").read_text()
    assert all(f"`{name}`" in listed for name in names)
    assert names == {*OF_TORCHVISION, *ON_ITS_OWN, "crop_faces.py"}


ON_ITS_OWN = {
    "landmarks_of_your_choice.py": (str(PHOTO),),
    "postprocess_your_head.py": (),
    "retinaface_head.py": (),
}


@pytest.mark.parametrize("name", sorted(ON_ITS_OWN))
def test_an_example_checks_itself(name: str) -> None:
    done = run(name, *ON_ITS_OWN[name])
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("name", ["crop_faces.py", "landmarks_of_your_choice.py"])
def test_an_example_without_its_photos_says_what_it_takes(name: str) -> None:
    done = run(name)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert f"{name} PHOTO" in done.stderr


@pytest.mark.parametrize("region", [(0, 0, 512, 110), (230, 0, 512, 512)])
def test_faces_that_an_edge_cuts_have_landmarks_too(
    region: tuple[int, ...], tmp_path: Path
) -> None:
    with Image.open(PHOTO) as photo:
        photo.crop(region).save(tmp_path / "cut.png")
    done = run("landmarks_of_your_choice.py", str(tmp_path / "cut.png"))
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_faces_are_cropped(tmp_path: Path) -> None:
    done = run("crop_faces.py", str(PHOTO), str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("*astronaut-*.jpg"))


@pytest.mark.parametrize("name", sorted(OF_TORCHVISION))
def test_torchvision_finds_the_same_or_is_said_to_be_missing(name: str) -> None:
    done = run(name)
    if find_spec("torchvision") is None:
        assert "skipped, as torchvision can't be imported" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert "are those of torchvision" in done.stdout
