"""Arrays and tensors of any layout as uint8 RGB."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from s3fd.images.errors import ImageError
from s3fd.images.levels import to_uint8
from s3fd.images.types import AnyArray, UInt8Array


def from_tensor(tensor: Tensor, name: str, *, bgr: bool = False) -> UInt8Array:
    """A tensor ``[1, 3 or 4 channels, H, W]`` on any device as uint8 ``[H, W, 3]``."""
    _check_memory(tensor, name)
    expected = "[1, 3 or 4 channels, H, W]"
    if tensor.dim() != 3 or tensor.shape[0] not in (1, 3, 4):
        channels_last = tensor.dim() == 3 and tensor.shape[2] == 3
        raise ImageError(
            f"{name}: expected a tensor {expected}, got {list(tensor.shape)}"
            + _hint(tensor.dim(), "permute", channels_last)
        )
    tensor = tensor.detach().resolve_conj().resolve_neg()  # NumPy knows neither
    if tensor.is_floating_point():
        tensor = tensor.float()
    return from_array(tensor.cpu().permute(1, 2, 0).numpy(), name, "tensor", expected, bgr=bgr)


def _check_memory(tensor: Tensor, name: str) -> None:
    """Refuses tensors whose pixels do not lie in memory as such."""
    expected = f"{name}: expected a tensor of pixels"
    if tensor.is_meta:
        raise ImageError(f"{expected}, got one on the meta device, which has none; load it first")
    if tensor.is_nested:
        raise ImageError(f"{expected}, got a nested one; pass its images as a list: .unbind()")
    if tensor.layout != torch.strided:
        kind = str(tensor.layout).removeprefix("torch.")
        raise ImageError(f"{expected}, got a tensor of layout {kind}; convert it with .to_dense()")
    if tensor.is_quantized:
        raise ImageError(f"{expected}, got a quantized one; convert it with .dequantize()")


def from_array(
    array: AnyArray, name: str, kind: str, expected: str, *, bgr: bool = False
) -> UInt8Array:
    """An array ``[H, W]`` or ``[H, W, 1, 3 or 4 channels]`` as uint8 ``[H, W, 3]``.

    Args:
        array: the pixels.
        name: what to call them in errors.
        kind: "array", "tensor".
        expected: the shapes that such a thing may have.
        bgr: whether the first channel is blue and the third red.
    """
    channels = np.asarray(array)
    channels = channels[:, :, None] if array.ndim == 2 else channels
    if channels.ndim != 3 or channels.shape[2] not in (1, 3, 4):
        channels_first = array.ndim == 3 and array.shape[0] == 3
        encoded = array.ndim == 1 and array.dtype == np.uint8
        raise ImageError(
            f"{name}: expected an {kind} {expected}, got {list(array.shape)}"
            + ("; pass the bytes of a file as bytes(array)" if encoded else "")
            + _hint(array.ndim, "transpose", channels_first)
        )
    if channels.size == 0:
        raise ImageError(f"{name}: expected at least one pixel, got {kind} {list(array.shape)}")
    pixels = to_uint8(channels, name, kind)
    if bgr and pixels.shape[2] >= 3:
        pixels = pixels[:, :, [2, 1, 0, 3][: pixels.shape[2]]]
    if pixels.shape[2] == 4:
        return on_white(Image.fromarray(np.ascontiguousarray(pixels)))
    return np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))


def on_white(image: Image.Image) -> UInt8Array:
    """An image of mode RGBA, laid on white."""
    white = Image.new("RGBA", image.size, "white")
    return np.asarray(Image.alpha_composite(white, image).convert("RGB"))


def _hint(dimensions: int, method: str, misplaced: bool) -> str:
    if dimensions == 4:
        return "; pass a batch as a list of images: list(batch)"
    order = "(2, 0, 1)" if method == "permute" else "(1, 2, 0)"
    return f"; {method}{order} puts its channels where they belong" if misplaced else ""
