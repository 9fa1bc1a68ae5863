import errno
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from s3fd.files import remove_unfinished, whole_file, write_picture


def write(path, content=b"new", **options):
    with whole_file(path, **options) as file:
        file.write(content)


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_replaces_another_when_it_is_complete(tmp_path, durable):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    with whole_file(path, durable=durable) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def fail():
        with whole_file(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not Path("/dev/stdout").exists(), reason="no /dev/stdout here")
def test_a_pipe_that_has_no_path_is_written_to_as_it_is():
    code = (
        "from pathlib import Path; from s3fd.files import whole_file\n"
        "with whole_file(Path('/dev/stdout')) as file: file.write(b'new')"
    )
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert run.stdout == b"new"


def begin_and_die(path):
    with whole_file(path) as file:
        file.write(b"half")
        file.flush()
        os._exit(9)


def leave_unfinished(path):
    process = multiprocessing.get_context("spawn").Process(target=begin_and_die, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == 9


def test_what_a_killed_process_leaves_is_in_nobodys_way(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    leave_unfinished(path)
    (left,) = tmp_path.iterdir()
    monkeypatch.setattr(os, "getpid", lambda: 7)  # a container's processes all have the same
    write(path, b"first")
    leave_unfinished(path)
    write(path, b"second")
    assert path.read_bytes() == b"second"
    assert left.read_bytes() == b"half"


def test_two_writers_of_a_name_do_not_meet(tmp_path):
    path = tmp_path / "a.json"
    with whole_file(path) as one, whole_file(path) as other:
        one.write(b"one")
        other.write(b"other")
    assert path.read_bytes() == b"one"  # the outer one ends last
    assert list(tmp_path.iterdir()) == [path]


def test_unfinished_files_of_a_name_are_removed_and_no_others(tmp_path):
    leave_unfinished(tmp_path / "a.pt")
    kept = {tmp_path / name for name in ("a.pt", ".a.pt.tmp", ".a.pt.mine.tmp")}
    for path in kept:
        path.touch()
    leave_unfinished(tmp_path / "b.pt")
    remove_unfinished(tmp_path / "a.pt")
    (other,) = set(tmp_path.iterdir()) - kept
    assert other.name.startswith(".b.pt.")


def test_a_name_may_be_as_long_as_the_system_allows(tmp_path):
    path = tmp_path / ("é" * 120 + ".json")
    write(path)
    assert path.read_bytes() == b"new"


def test_a_link_is_followed(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_device_is_written_to_as_it_is():
    write(Path(os.devnull))
    assert not Path(os.devnull).is_file()


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.json: there is no folder .*missing; create"):
        write(tmp_path / "missing" / "a.json")


def test_a_durable_file_and_its_name_are_brought_to_the_disk(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append(os.fstat(descriptor).st_ino))
    write(tmp_path / "a", durable=True)
    assert calls == [(tmp_path / "a").stat().st_ino, tmp_path.stat().st_ino]
    write(tmp_path / "b")
    assert len(calls) == 2


def test_the_system_decides_who_may_read_a_file(tmp_path):
    (tmp_path / "plain").touch()
    write(tmp_path / "whole")
    assert (tmp_path / "whole").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize("size", [1, 1_000_000])
def test_a_full_disk_is_named(size):
    full = Path("/dev/full")
    with pytest.raises(OSError, match=r"Errno 28.*/dev/full"), whole_file(full) as file:
        file.write(bytes(size))


PART = """
import resource
from pathlib import Path
import numpy
from PIL import Image
from s3fd.files import write_picture
levels = numpy.random.default_rng(0).integers(0, 256, (80, 80, 3), numpy.uint8)
most = len(open("whole.jpg", "rb").read()) - 10
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
try:
    write_picture(Image.fromarray(levels), Path("a.jpg"), "JPEG")
except OSError as error:
    print(error.errno, error.filename)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits the size of files")
def test_a_picture_that_the_disk_takes_in_part_is_an_error(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    write_picture(Image.fromarray(levels), tmp_path / "whole.jpg", "JPEG")
    command = [sys.executable, "-c", PART]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert said.split() == [str(errno.EFBIG), str(tmp_path / "a.jpg")]
    assert [file.name for file in tmp_path.iterdir()] == ["whole.jpg"]
