"""Named tensors in files, safetensors and PyTorch's own, read without running code from them."""

from __future__ import annotations

import json
import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, cast

import safetensors.torch
import torch
from torch import Tensor

from s3fd.files import whole_file
from s3fd.messages import one_line, shown

# Where training checkpoints keep the weights, among the epoch, the optimizer and so on.
_ENTRIES = ("weight", "state_dict", "model_state_dict", "model")
_CHECKSUM_KEY = "s3fd.crc32"
_REMEDY = "fetch or copy the file again, or pass another one"


class Weights(NamedTuple):
    """What a file of weights holds: its entries, most of them tensors, and its text metadata."""

    entries: dict[str, object]
    metadata: dict[str, str]


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """Reads a safetensors file or one that `torch.save` wrote, on the CPU.

    What the file is shows in its first bytes, not in its name. PyTorch's files are opened with
    ``weights_only=True``: nothing in them runs.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty, truncated, of another kind, or holds more than plain data.
    """
    path = Path(path)
    start = first_bytes(path, 9)
    if start[8:] == b"{":  # eight bytes with the length of a JSON header, then the header
        return _read_safetensors(path)
    if start[:4] == b"PK\x03\x04" or start[:1] == b"\x80":  # a zip file, or a bare pickle
        return _read_torch(path)
    raise ValueError(
        f"{path}: expected a safetensors or a PyTorch file, got something else "
        f"that begins with {start!r}; {_REMEDY}"
    )


def first_bytes(path: Path, count: int) -> bytes:
    """The first bytes of a file, by which its kind is told.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is empty, can't be read, or is a folder.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file; check the path of the weights")
    if not path.is_file():
        raise ValueError(
            f"{path}: expected a file, got a folder or a device; pass the weights in it"
        )
    try:
        with path.open("rb") as file:
            start = file.read(count)
    except OSError as error:
        raise ValueError(f"{path}: can't be read ({error.strerror}); {_REMEDY}") from error
    if not start:
        raise ValueError(f"{path}: the file is empty; {_REMEDY}")
    return start


def write_weights(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Writes a safetensors file whole or not at all, with a checksum among its metadata.

    Raises:
        FileNotFoundError: its folder does not exist.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    checksum = _checksum(plain, metadata)
    data = safetensors.torch.save(plain, {**metadata, _CHECKSUM_KEY: checksum})
    with whole_file(Path(path), durable=True) as file:
        file.write(data)


def state_dict(entries: Mapping[str, object]) -> dict[str, object]:
    """The state dict in what a file holds: from its entry, without `DataParallel`'s prefix."""
    for name in _ENTRIES:
        entry = entries.get(name)
        if isinstance(entry, Mapping):
            entries = {str(key): value for key, value in entry.items()}
            break
    if all(name.startswith("module.") for name in entries):
        entries = {name.removeprefix("module."): value for name, value in entries.items()}
    return dict(entries)


def fitting_tensors(
    path: str | os.PathLike[str],
    origin: str,
    state: Mapping[str, object],
    shapes: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """The tensors of `state`, if they are those of `shapes`; their precision may be another.

    Raises:
        ValueError: the names are not those of `shapes`, or a shape is another; the message tells
            all that does not fit, by name.
    """
    problems = []
    missing = [name for name in shapes if name not in state]
    if missing:
        problems.append(f"missing {listing(missing)}")
    extra = [name for name in state if name not in shapes]
    if extra:
        problems.append(f"unexpected {listing(extra)}")
    tensors = {}
    for name, expected in shapes.items():
        value = state.get(name)
        if isinstance(value, Tensor) and _fits(value, expected):
            tensors[name] = value.detach()
        elif name in state:
            problems.append(
                f"{name!r} is {_description(value)} instead of {_description(expected)}"
            )
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" * (len(problems) > 5))
        raise ValueError(
            f"{path}: taken for {origin} by its names, it does not fit: {shown}. "
            "Pass a complete file of that origin"
        )
    return tensors


def check_finite(path: str | os.PathLike[str], tensors: Mapping[str, Tensor]) -> None:
    """Refuses weights that no network can count with, such as those of a run that diverged.

    Raises:
        ValueError: NaN or infinite numbers; the message names the tensors.
    """
    broken = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    if broken:
        raise ValueError(
            f"{path}: NaN or infinite numbers in {listing(broken)}, with which a network finds "
            "nothing; pass weights of before they broke"
        )


def listing(names: Iterable[str], limit: int = 5) -> str:
    """The first of the names, quoted, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(shown, names[:limit])) + more


def _read_safetensors(path: Path) -> Weights:
    try:
        data = path.read_bytes()  # safe_open takes no name that is not UTF-8
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        metadata = dict(header.get("__metadata__") or {})
    except Exception as error:  # whatever a damaged file makes the parser raise
        raise ValueError(
            f"{path}: truncated, damaged or no file of weights ({_reason(error)}); {_REMEDY}"
        ) from None
    checksum = metadata.pop(_CHECKSUM_KEY, None)  # files of others have none
    if checksum is not None and checksum != _checksum(tensors, metadata):
        raise ValueError(
            f"{path}: damaged: its numbers or its text are not those that were written; {_REMEDY}"
        )
    return Weights(dict(tensors), metadata)


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    """CRC-32 of all that a file holds; a safetensors file has none of its own."""
    value = zlib.crc32(json.dumps(sorted(metadata.items())).encode())
    for name, tensor in sorted(tensors.items()):
        value = zlib.crc32(f"{name} {tensor.dtype} {list(tensor.shape)}".encode(), value)
        value = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, value)
    return f"{value:08x}"


def _read_torch(path: Path) -> Weights:
    content = read_plain(path)
    if not isinstance(content, Mapping):
        raise ValueError(
            f"{path}: expected a dictionary of named tensors, got {type(content).__name__}; "
            "save the model's state_dict()"
        )
    return Weights({str(name): value for name, value in content.items()}, {})


def read_plain(path: Path) -> object:
    """What `torch.save` wrote, if it is plain data: nothing in the file runs.

    Raises:
        ValueError: it is truncated, damaged, of another kind, or holds more than plain data.
    """
    try:
        if zipfile.is_zipfile(path):
            _check_sums(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch.load has to say, the errors below say
            return cast(object, torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # whatever a damaged or foreign pickle makes the parser raise
        forbidden = re.search(r"GLOBAL (\S+)", str(error))
        if forbidden is not None:
            raise ValueError(
                f"{path}: holds more than tensors, namely {forbidden[1]}, and is not loaded, since "
                "such a file can run code; where you trust it, load it yourself and save its "
                "state_dict() alone"
            ) from None
        raise ValueError(
            f"{path}: truncated, damaged or no file of weights ({_reason(error)}); {_REMEDY}"
        ) from None


def _check_sums(path: Path) -> None:
    """Reads a file once for its checksums, which `torch.load` does not look at."""
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.CRC:  # torch can be told to leave them out
                with archive.open(entry) as file:
                    while file.read(1 << 20):
                        pass


def _reason(error: Exception) -> str:
    """The first sentence: torch's further ones recommend to load such a file with its code."""
    text = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    return one_line(re.split(r"\.\s|\n", text, maxsplit=1)[0][:120]) or type(error).__name__


def _fits(value: Tensor, expected: Tensor) -> bool:
    return (
        value.layout == torch.strided
        and value.shape == expected.shape
        and value.is_floating_point() == expected.is_floating_point()
        and not value.is_complex()
    )


def _description(value: object) -> str:
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    kind = str(value.dtype).removeprefix("torch.")
    return f"{kind} {list(value.shape)}"
