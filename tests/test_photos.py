"""Which photos are meant by files, folders and globs."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from s3fd import file_kinds
from s3fd.photos import Note, Photo, PhotoSearch, Problem


@pytest.fixture
def folder(tmp_path):
    for name in ["b.jpg", "a.PNG", "below/c.webp", "below/.hidden.jpg", ".cache/d.jpg"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photo")
    return tmp_path


def find_photos(arguments, without=None):
    found = list(PhotoSearch(arguments, without=without))
    return SimpleNamespace(
        photos=[x for x in found if isinstance(x, Photo)],
        problems=[(x.what, x.why) for x in found if isinstance(x, Problem)],
        notes=[x.text for x in found if isinstance(x, Note)],
    )


def names(found):
    return [str(photo.name) for photo in found.photos]


def test_a_folder_means_the_photos_in_and_below_it(folder):
    found = find_photos([str(folder)])
    assert names(found) == ["a.PNG", "b.jpg", str(Path("below", "c.webp"))]
    assert (found.problems, found.notes) == ([], [])


def test_a_glob_means_what_it_matches_and_a_photo_is_named_once(folder):
    found = find_photos([f"{folder}/*.jpg", f"{folder}/**/*.webp", f"{folder}/b.jpg"])
    assert names(found) == ["b.jpg", "c.webp"]


def test_a_name_that_looks_like_a_glob_is_a_file_where_there_is_one(folder):
    (folder / "b.jpg").rename(folder / "b[1].jpg")
    assert names(find_photos([f"{folder}/b[1].jpg"])) == ["b[1].jpg"]


def test_what_is_not_there_is_a_problem(folder):
    (folder / "empty").mkdir()
    arguments = [f"{folder}/gone.jpg", f"{folder}/*.tiff", f"{folder}/empty", f"{folder}/b.jpg"]
    found = find_photos(arguments)
    assert names(found) == ["b.jpg"]
    assert found.problems == [
        (f"{folder}/gone.jpg", "there is no such file"),
        (f"{folder}/*.tiff", "no file matches"),
        (f"{folder}/empty", "there is no photo in this folder"),
    ]


def test_results_are_left_out(folder):
    assert names(find_photos([str(folder)], without=folder / "below")) == ["a.PNG", "b.jpg"]


def test_what_is_passed_over_is_counted_and_explained(folder, monkeypatch):
    monkeypatch.setattr(file_kinds, "find_spec", lambda module: None)
    for name in ["1.HEIC", "below/2.heic", "3.jxl", "4.dng", "5.mp4", ".6.heic"]:
        (folder / name).write_bytes(b"x")
    (folder / "link").symlink_to(folder / "below", target_is_directory=True)
    found = find_photos([str(folder)])
    assert len(found.photos) == 3
    assert found.notes == [
        f"{folder}: passed over 1 .dng (a camera's raw files), 2 .heic (pip install pillow-heif), "
        "1 .jxl (pip install pillow-jxl-plugin), 1 .mp4 (videos, which are searched where they are "
        "named), 1 linked folder"
    ]


def test_kinds_whose_plugin_is_installed_are_photos(folder, monkeypatch):
    monkeypatch.setattr(file_kinds, "find_spec", lambda module: module)
    for name in ["1.HEIC", "2.jxl"]:
        (folder / name).write_bytes(b"x")
    found = find_photos([str(folder)])
    assert {"1.HEIC", "2.jxl"} <= set(names(found))
    assert found.notes == []


def test_a_photo_of_an_earlier_folder_is_named_once(folder):
    found = find_photos([str(folder / "below"), f"{folder}/b.jpg", str(folder)])
    assert names(found) == ["c.webp", "b.jpg", "a.PNG"]


def test_a_photo_is_known_by_all_its_names(folder, tmp_path):
    (folder / "link.jpg").symlink_to(folder / "below" / "c.webp")
    search = PhotoSearch([str(folder)], without=folder / "out")
    assert search.includes(folder / "link.jpg")
    assert search.includes(folder / "below" / ".." / "b.jpg")
    assert not search.includes(folder / "below" / ".hidden.jpg")
    assert not search.includes(folder / "gone.jpg")
    assert not search.includes(folder / f"{'x' * 300}.jpg")  # longer than a name can be
    assert not search.includes(folder / "notes.txt")


def test_capital_letters_change_nothing_about_what_is_a_photo(tmp_path):
    pictures, results = tmp_path / "Pictures", tmp_path / "Pictures" / "Out"
    for path in (pictures / "A.jpg", results / "A-faces.jpg", tmp_path / "pictures" / "b.jpg"):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)
    search = PhotoSearch([str(pictures)], without=results)
    assert search.searches(pictures)
    assert search.includes(pictures / "A.jpg")
    assert not search.includes(results / "A-faces.jpg")
    assert search.includes(tmp_path / "pictures" / "b.jpg")  # on many systems it would be one
    assert names(find_photos([str(pictures)], without=results)) == ["A.jpg"]
    assert "b.jpg" in names(find_photos([str(pictures), str(tmp_path / "pictures")]))


# In a process of its own: pathlib interns names, and where the table of all strings so far has to
# grow at that moment, its growth is counted.
FOUND = """
import os, sys, tracemalloc
from s3fd.photos import PhotoSearch

def walk(folder, onerror):
    for number in range(500):
        yield f"{folder}/{number}", [], [f"{name:040}.jpg" for name in range(200)]

os.walk = walk
next(iter(PhotoSearch([sys.argv[1]])))  # what the first search imports is not counted
tracemalloc.start()
print(sum(1 for _ in PhotoSearch([sys.argv[1]])), tracemalloc.get_traced_memory()[1])
"""


def test_photos_are_found_one_by_one(tmp_path):
    command = [sys.executable, "-c", FOUND, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    number, peak = map(int, done.stdout.split())
    assert number == 100_000
    assert peak < 5_000_000, "the names alone are 9 MB"
