"""Damaged weights and training checkpoints: the same numbers, or a refusal that names the file."""

import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch
from damage import damaged, odd_words
from judge import RIGHT, attempt, expect

from s3fd.data import PhotoCache
from s3fd.data.annotations import annotated_image
from s3fd.images import ImageError
from s3fd.models import S3FD, load_checkpoint, save_checkpoint
from s3fd.training import TrainingConfig
from s3fd.training.distributed import Processes
from s3fd.training.run import Run

CASES, QUICK = 10_000, 300
SECONDS = 120
_PHOTO = Path(__file__).parents[2] / "s3fd" / "assets" / "astronaut.jpg"


def prepare(folder: Path, seed: int) -> Callable[[int], str]:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    (folder / "whole").mkdir(exist_ok=True)
    makers = {
        "weights.safetensors": _safetensors,
        "weights.pth": _pth,
        "old.pth": _old_pth,
        "mobile.caffemodel": _caffemodel,
        "mobile.prototxt": _prototxt,
        "run/last.pt": _training,
        "cache/index.json": _cache,
        "cache/pixels.bin": None,
    }
    for name, make in makers.items():
        (folder / "whole" / name).parent.mkdir(exist_ok=True)
        if make is not None:
            make(folder / "whole" / name)
    contents = {name: (folder / "whole" / name).read_bytes() for name in makers}
    answers = {name: _read(folder / "whole" / name)[1] for name in makers}
    names = [*makers, "weights.safetensors", "run/last.pt"]

    def case(index: int) -> str:
        name, rng = names[index % len(names)], Random(f"{seed} {index}")
        path = folder / "damaged" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for other in _BESIDE.get(name, ()):
            (folder / "damaged" / other).write_bytes(contents[other])
        path.write_bytes(
            _damage(name, contents[name], rng) if index >= len(names) else contents[name]
        )
        outcome, answer = _read(path)
        if index < len(names):
            expect(outcome == RIGHT, f"refuses a whole {name}")
        if outcome == RIGHT and name not in _UNCHECKED:
            expect(_equal(answer, answers[name]), f"other numbers of {name}, and no word of it")
        return outcome

    return case


_BESIDE = {
    "mobile.prototxt": ("mobile.caffemodel",),
    "cache/index.json": ("cache/pixels.bin",),
    "cache/pixels.bin": ("cache/index.json",),
}
_UNCHECKED = {
    "mobile.caffemodel",
    "mobile.prototxt",
    "old.pth",
    "cache/index.json",
    "cache/pixels.bin",
}
"""These have no checksum, and can't have one."""


def _damage(name: str, content: bytes, rng: Random) -> bytes:
    if name.endswith(".prototxt") and rng.random() < 0.6:
        return odd_words(content.decode(), rng, ' :{}"').encode(errors="surrogatepass")
    if name == "weights.safetensors" and rng.random() < 0.5:  # its header
        length = int.from_bytes(content[:8], "little")
        header = damaged(content[8 : 8 + length], rng, content)
        length = len(header) if rng.random() < 0.8 else length
        return (
            length.to_bytes(8, "little")
            + header
            + content[8 + int.from_bytes(content[:8], "little") :]
        )
    if name in ("weights.pth", "run/last.pt") and rng.random() < 0.4:
        return _other_pickle(content, rng)
    return damaged(content, rng, content)


def _other_pickle(content: bytes, rng: Random) -> bytes:
    """Damage to the description of the tensors, with checksums that are right again."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(stream, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            new.writestr(
                entry.filename, damaged(data, rng) if entry.filename.endswith(".pkl") else data
            )
    return stream.getvalue()


def _read(path: Path) -> tuple[str, Any]:
    name = f"{path.parent.name}/{path.name}"
    if name == "run/last.pt":
        return attempt(lambda: _go_on(path.parent), path, errors=(ValueError,))
    if name.startswith("cache/"):
        return attempt(
            lambda: _from_cache(path.parent), path.parent, errors=(ValueError, ImageError)
        )
    if path.suffix == ".prototxt":
        weights = path.with_name("mobile.caffemodel")
        return attempt(
            lambda: _numbers(load_checkpoint(weights, prototxt=path)),
            path,
            weights,
            errors=(ValueError,),
        )
    return attempt(lambda: _numbers(load_checkpoint(path)), path, errors=(ValueError,))


def _numbers(model: S3FD) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def _go_on(folder: Path) -> dict[str, torch.Tensor]:
    run = _run(folder)
    run.load()
    run.optimizer.step()
    return _numbers(run.average)


def _from_cache(folder: Path) -> int:
    cache = PhotoCache(folder)
    with cache.open(annotated_image(_PHOTO, [])) as photo:
        for scale in (1.0, 0.4, 0.1):
            pixels = photo.decode(scale)
            expect(pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size, "no picture")
            pixels.sum()
    return 0


def _equal(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(
        torch.equal(ours[name], theirs[name]) for name in ours
    )


def _safetensors(path: Path) -> None:
    save_checkpoint(S3FD("light"), path)


def _vgg16() -> dict[str, torch.Tensor]:
    """Small in the file: every number of a tensor is the same element."""
    from s3fd.models.formats import FORMATS

    published = FORMATS[0]
    state = S3FD("vgg16").state_dict()
    names = published.keys() if callable(published.keys) else published.keys
    return {
        theirs: torch.ones(1, dtype=torch.float16).expand(state[ours].shape)
        for theirs, ours in dict(names).items()
    }


def _pth(path: Path) -> None:
    torch.save(_vgg16(), path)


def _old_pth(path: Path) -> None:
    torch.save(_vgg16(), path, _use_new_zipfile_serialization=False)


def _caffe() -> Any:
    sys.path.insert(0, str(Path(__file__).parents[1] / "models" / "caffe"))
    import conftest

    return conftest


def _caffemodel(path: Path) -> None:
    path.write_bytes(_caffe().caffemodel(_caffe().trained_mobilenet()))


def _prototxt(path: Path) -> None:
    path.write_text(_caffe().prototxt(_caffe().trained_mobilenet()))


def _run(folder: Path) -> Run:
    config = TrainingConfig(data=folder, out=folder, steps=9, precision="float32", device="cpu")
    return Run(config, Processes(torch.device("cpu")), photos=12)


def _training(path: Path) -> None:
    run = _run(path.parent)
    for parameter in run.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    run.optimizer.step()
    run.step = 1
    run.save()


def _cache(path: Path) -> None:
    PhotoCache(path.parent).add([annotated_image(_PHOTO, [])])
    assert json.loads(path.read_text())
