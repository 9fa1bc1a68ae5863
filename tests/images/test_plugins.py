"""Kinds of files that plugins read, or would."""

import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from s3fd.data.annotations import annotated_image
from s3fd.data.photo import open_photo
from s3fd.images import ImageError, read_image

PHOTO = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 48, axis=0).repeat(3, 2)
STARTS = {
    "pillow-heif": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "pillow-jxl-plugin": b"\xff\x0a\xfa\x7f\x01\x90\x08\x06",
}
_each_plugin = pytest.mark.parametrize(
    ("module", "suffix"), [("pillow_heif", "heic"), ("pillow_jxl", "jxl")]
)


@_each_plugin
def test_they_are_read_where_the_plugin_is_installed(tmp_path, module, suffix):
    pytest.importorskip(module, reason="a plugin, which the extra `formats` brings")
    path = tmp_path / f"photo.{suffix}"
    write = (
        "import sys, pillow_heif, numpy; pillow_heif.register_heif_opener(); "
        if module == "pillow_heif"
        else "import sys, pillow_jxl, numpy; "
    ) + "from PIL import Image; Image.open(sys.argv[1]).save(sys.argv[2], quality=95)"
    Image.fromarray(PHOTO).save(tmp_path / "photo.png")
    subprocess.run([sys.executable, "-c", write, tmp_path / "photo.png", path], check=True)
    for image in (path, path.read_bytes()):
        np.testing.assert_allclose(read_image(image).astype(int), PHOTO, atol=8)


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_jpeg_xl_is_turned_once(tmp_path, orientation):
    """A decoder turns it by its own header, unless the JPEG that it was made from comes out."""
    pytest.importorskip("pillow_jxl", reason="a plugin, which the extra `formats` brings")
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(PHOTO).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    write = (
        "import sys, pillow_jxl; from PIL import Image; "
        "Image.open(sys.argv[1]).save(sys.argv[2], lossless_jpeg=True)"
    )
    packed, bare = tmp_path / "packed.jxl", tmp_path / "bare.jxl"
    subprocess.run([sys.executable, "-c", write, tmp_path / "photo.jpg", packed], check=True)
    bare.write_bytes(without_jpeg(packed.read_bytes(), exif.tobytes()))
    expected = read_image(tmp_path / "photo.jpg").astype(int)
    for path in (packed, bare):
        np.testing.assert_allclose(read_image(path).astype(int), expected, atol=12)
        with open_photo(annotated_image(path, [])) as photo:
            assert (photo.height, photo.width) == expected.shape[:2]
            np.testing.assert_array_equal(photo.decode(1.0), read_image(path))


def without_jpeg(packed, exif):
    """Pixels alone, as they are made from other pictures, with an EXIF block that can be read."""
    written, position = b"", 0
    while position < len(packed):
        length, kind = struct.unpack_from(">I4s", packed, position)
        length = length or len(packed) - position
        if kind not in (b"jbrd", b"brob", b"Exif"):
            written += packed[position : position + length]
        if kind == b"ftyp":
            body = bytes(4) + exif.removeprefix(b"Exif\0\0")
            written += struct.pack(">I4s", 8 + len(body), b"Exif") + body
        position += length
    return written


@_each_plugin
def test_they_are_written_before_any_is_read(tmp_path, module, suffix):
    pytest.importorskip(module, reason="a plugin, which the extra `formats` brings")
    path = tmp_path / f"drawn.{suffix}"
    write = (
        "import sys, numpy; from s3fd import Detections; "
        "faces = Detections.from_dict({'width': 64, 'height': 48, 'faces': []}); "
        "faces.save(sys.argv[1], numpy.full((48, 64, 3), 90, numpy.uint8))"
    )
    subprocess.run([sys.executable, "-c", write, path], check=True)
    np.testing.assert_allclose(read_image(path).astype(int), np.full((48, 64, 3), 90), atol=3)


@pytest.mark.parametrize("package", STARTS)
def test_the_plugin_that_is_missing_is_named(tmp_path, monkeypatch, package):
    monkeypatch.setattr("s3fd.images.plugins.register", lambda: None)
    monkeypatch.setattr(Image, "open", unidentified)
    (tmp_path / "photo").write_bytes(STARTS[package])
    for image in (tmp_path / "photo", STARTS[package]):
        with pytest.raises(ImageError, match=f"needs a plugin: pip install {package}"):
            read_image(image)


def unidentified(*_):
    from PIL import UnidentifiedImageError

    raise UnidentifiedImageError


def test_raw_files_are_refused_rather_than_their_preview_read(tmp_path):
    Image.fromarray(PHOTO).save(tmp_path / "photo.dng", "TIFF")
    with pytest.raises(ImageError, match=r"photo\.dng: a camera's raw file; develop it"):
        read_image(tmp_path / "photo.dng")
