"""The Python blocks of README and docs run, each document in a folder of its own."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from unittest import SkipTest

import av
import pytest
from PIL import Image
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).parents[1]
ASSETS = ROOT / "s3fd" / "assets"
SYBIL = Sybil([PythonCodeBlockParser(), SkipParser()], pattern="*.md")
DOCUMENTS = [
    path
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if "```python" in path.read_text()
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """What a reader would have, in the folder in which the blocks run."""
    monkeypatch.chdir(tmp_path)
    photo = Image.open(ASSETS / "astronaut.jpg").resize((160, 160))
    Path("photos").mkdir()
    for name in ("group.jpg", "crowd.jpg", "a.jpg", "b.png", "photos/one.jpg"):
        photo.save(name)
    with av.open("clip.mp4", "w") as container:
        video = container.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 160, 160, "yuv420p"
        container.mux(video.encode(av.VideoFrame.from_image(photo)))
        container.mux(video.encode())
    shutil.copytree(ASSETS, "MINE")


@pytest.fixture
def wider_face(folder, request):
    """Its own files, where they are, and what a detector found in the first photo."""
    try:
        files = request.getfixturevalue("shared") / "wider_face_val"
    except pytest.skip.Exception:
        return
    Path("published").symlink_to(files / "published")
    Path("eval_tools").mkdir()
    Path("eval_tools/ground_truth").symlink_to(files)
    line = {"photo": "0--Parade/0_Parade_marchingband_1_465.jpg", "faces": []}
    Path("found.jsonl").write_text(json.dumps(line) + "\n")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_all_python_blocks_run(path, folder, wider_face):
    document = SYBIL.parse(path)
    document.namespace.update(Path=Path, find_spec=find_spec)
    skipped = []
    for example in document.examples():
        try:
            example.evaluate()
        except SkipTest as reason:
            skipped.append(f"line {example.line}: {reason}")
    if skipped:
        pytest.skip("; ".join(skipped))


def test_a_block_that_fails_is_named_by_its_line(tmp_path):
    path = tmp_path / "page.md"
    path.write_text("# Page\n\n```python\nfaces = 1\nfaces.boxes\n```\n")
    with pytest.raises(AttributeError) as raised:
        next(SYBIL.parse(path).examples()).evaluate()
    last = raised.traceback[-1]
    assert (Path(last.path), last.lineno + 1) == (path, 5)
