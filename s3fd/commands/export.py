"""``s3fd export``: a detector as one file, for places where s3fd is not."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from s3fd.commands.options import AtLeastOne, Share, UsageError, option
from s3fd.commands.output_files import check_output_file
from s3fd.commands.outputs import write_line
from s3fd.defaults import IOU_THRESHOLD, SCORE_THRESHOLD

Format: TypeAlias = Literal["onnx", "openvino", "torch"]

_SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}


def export(
    model: Annotated[str, option("NAME|FILE")],
    /,
    *,
    out: Annotated[Path, option("FILE", name=["--out", "-o"])],
    kind: Annotated[Format, option(name="--format")] = "onnx",
    threshold: Share = SCORE_THRESHOLD,
    iou_threshold: Share = IOU_THRESHOLD,
    pixels: Annotated[Literal["uint8", "float32"], option()] = "uint8",
    image_size: Annotated[tuple[int, int] | None, option("HEIGHT WIDTH")] = None,
    batch_size: AtLeastOne = 1,
    precision: Literal["float32", "bfloat16", "float16"] = "float32",
) -> None:
    """Write a whole detector, from pixels to boxes and scores, as one file.

    Args:
        model: Bundled weights, or a file of weights.
        out: The file to write: .onnx, .xml (and .bin beside it), or .pt2.
        kind: onnx: standard operators, for images of any size; openvino: the same for OpenVINO;
            torch: torch.export's program.
        threshold: Leave out faces with a smaller score.
        iou_threshold: Of two faces that overlap more, keep the better.
        pixels: With onnx and openvino, the type of the images; 0 to 255 in both.
        image_size: With torch, height and width of the images.
        batch_size: With torch, their number.
        precision: What the network computes in; with onnx and openvino, float32 or float16.
    """
    if out.suffix != _SUFFIXES[kind]:
        expected = f"a name that ends in {_SUFFIXES[kind]} for --format {kind}"
        raise UsageError("--out", f"expected {expected}, got {out}")
    check_output_file(out, "--out", [model])
    if kind == "openvino":
        check_output_file(out.with_suffix(".bin"), "--out", [model])
    _check_options_of_formats(kind, pixels, image_size, batch_size, precision)
    from s3fd.models import load_checkpoint
    from s3fd.models.checkpoint import weights_path

    try:
        network = load_checkpoint(weights_path(model))
    except (OSError, ValueError) as error:
        raise UsageError("NAME|FILE", str(error)) from None
    thresholds = {"score_threshold": threshold, "iou_threshold": iou_threshold}
    written = [out]
    if kind != "torch":
        import s3fd.export as formats

        try:
            write = formats.export_onnx if kind == "onnx" else formats.export_openvino
        except ImportError as error:
            raise UsageError("--format", str(error)) from None
        assert precision != "bfloat16"
        write(network, out, input_type=pixels, precision=precision, **thresholds)
        written += [out.with_suffix(".bin")] * (kind == "openvino")
    else:
        from s3fd.export import export_torch

        assert image_size is not None
        export_torch(
            network,
            out,
            image_size=image_size,
            batch_size=batch_size,
            precision=precision,
            **thresholds,
        )
    for file in written:
        write_line(f"{file}: {file.stat().st_size / 1e6:.1f} MB")


def _check_options_of_formats(
    kind: Format,
    pixels: str,
    image_size: tuple[int, int] | None,
    batch_size: int,
    precision: str,
) -> None:
    """Refuses what has no effect, and a size that is missing."""
    if kind == "torch" and image_size is None:
        raise UsageError("--image-size", "--format torch needs the height and width of the images")
    if image_size is not None and min(image_size) < 1:
        raise UsageError("--image-size", f"expected two numbers of pixels, got {image_size}")
    given = {
        "--pixels": (("onnx", "openvino"), pixels != "uint8"),
        "--image-size": (("torch",), image_size is not None),
        "--batch-size": (("torch",), batch_size != 1),
        "--precision bfloat16": (("torch",), precision == "bfloat16"),
    }
    for name, (of, is_given) in given.items():
        if is_given and kind not in of:
            raise UsageError(name, f"has an effect with --format {' and '.join(of)} alone")
