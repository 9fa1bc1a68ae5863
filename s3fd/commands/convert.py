"""``s3fd convert``: weights that others have published in, a file of this project's own out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from s3fd.commands.options import UsageError, option
from s3fd.commands.output_files import check_output_file
from s3fd.commands.outputs import File, write_line


def convert(
    weights: Annotated[Path, option("WEIGHTS")],
    out: Annotated[Path, option("OUT")],
    /,
    *,
    prototxt: File = None,
    box_margins: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> int:
    """Write weights of others as a safetensors file that says which network they belong to.

    Args:
        weights: A .caffemodel, or a PyTorch or safetensors file in a published format.
        out: The file to write, such as face.safetensors; --model takes it.
        prototxt: The network to run a .caffemodel in, if it is not the one of its training.
        box_margins: By how much larger its boxes shall be: at each side in widths of a box, at the
            top and at the bottom in heights, such as 0.03 0.06 0.01.
    """
    if out.suffix != ".safetensors":
        raise UsageError("OUT", f"expected a name that ends in .safetensors, got {out}")
    check_output_file(out, "OUT", [weights, prototxt])
    from s3fd.models import load_checkpoint, save_checkpoint
    from s3fd.models.box_margins import fold_box_margins

    model = load_checkpoint(weights, prototxt=prototxt)
    try:
        fold_box_margins(model, box_margins)
    except ValueError as error:
        raise UsageError("--box-margins", str(error).removeprefix("box_margins: ")) from None
    save_checkpoint(model, out, {"converted_from": weights.name})
    count = sum(parameter.numel() for parameter in model.parameters())
    write_line(f"{out}: {model.config.backbone}, {count:,} parameters")
    return 0
