"""Kinds of files that plugins read, or would."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from s3fd.images import ImageError, read_image

PHOTO = np.repeat(np.linspace(0, 255, 64).astype(np.uint8)[None, :, None], 48, axis=0).repeat(3, 2)
STARTS = {
    "pillow-heif": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "pillow-jxl-plugin": b"\xff\x0a\xfa\x7f\x01\x90\x08\x06",
}


@pytest.mark.parametrize(("module", "suffix"), [("pillow_heif", "heic"), ("pillow_jxl", "jxl")])
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
