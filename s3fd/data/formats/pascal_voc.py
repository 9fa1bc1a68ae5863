"""Labels in the XML form of PASCAL VOC (Everingham et al., 2010)."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from s3fd.data.annotations import AnnotatedImage, annotated_image


def read_pascal_voc(root: Path, split: str) -> list[AnnotatedImage]:
    """Reads ``Annotations/NAME.xml`` of photos in ``JPEGImages``, ``images`` or `root` itself.

    Objects called "face" are faces; those marked as difficult become ignore boxes. VOC counts
    pixels from 1, and its corners are pixels of the box: pixel 1 to 10 is ``[0, 10)`` here.

    Args:
        root: the folder with ``Annotations``.
        split: read the names in ``ImageSets/Main/SPLIT.txt`` alone, if that folder is there.

    Raises:
        FileNotFoundError: there is no such split.
        ValueError: a file is malformed (the message names it), or there is none.
    """
    folder = root / "Annotations"
    sets = root / "ImageSets" / "Main"
    names = sorted(file.stem for file in folder.glob("*.xml"))
    if sets.is_dir():
        file = sets / f"{split}.txt"
        if not file.is_file():
            there = sorted(path.stem for path in sets.glob("*.txt"))
            raise FileNotFoundError(f"data: {file} does not exist; there are {there}")
        names = [line.split()[0] for line in file.read_text().splitlines() if line.strip()]
    if not names:
        raise ValueError(f"{folder}: it has no photo of split {split!r}")
    photos = next(
        (root / name for name in ("JPEGImages", "images") if (root / name).is_dir()), root
    )
    return [_read(folder / f"{name}.xml", photos) for name in names]


def _read(file: Path, photos: Path) -> AnnotatedImage:
    try:
        tree = ElementTree.parse(file).getroot()
        faces = [item for item in tree.iter("object") if _text(item, "name").lower() == "face"]
        rows = [
            [float(_text(item, f"bndbox/{side}")) - shift
             for side, shift in (("xmin", 1), ("ymin", 1), ("xmax", 0), ("ymax", 0))]
            for item in faces
        ]  # fmt: skip
        difficult = [item.findtext("difficult", "0").strip() == "1" for item in faces]
        width, height = (int(tree.findtext(f"size/{side}", "0")) for side in ("width", "height"))
        name = tree.findtext("filename") or f"{file.stem}.jpg"
        # Some tools write no size, or one of 0 x 0.
        size = (width, height) if width > 0 and height > 0 else None
        return annotated_image(photos / name.strip(), rows, ignored=difficult, size=size)
    except (ElementTree.ParseError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{file}: not labels in the form of PASCAL VOC ({error})") from error


def _text(item: ElementTree.Element, name: str) -> str:
    text = item.findtext(name)
    if text is None:
        raise ValueError(f"an object without {name}")
    return text
