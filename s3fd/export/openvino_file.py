"""A whole detector in OpenVINO's format: that of ONNX, converted."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import openvino

from s3fd.export.onnx_file import FilePrecision, export_onnx
from s3fd.files import whole_file
from s3fd.models import S3FD
from s3fd.settings import check_choice


def export_openvino(
    model: S3FD,
    path: str | os.PathLike[str],
    *,
    precision: FilePrecision = "float32",
    **settings: Any,
) -> None:
    """Writes a detector for OpenVINO: ``NAME.xml``, and its weights beside it in ``NAME.bin``.

    It takes and gives what the file of `export_onnx` does, by the same names.

    Args:
        model: a copy of it is exported, with its batch norms folded.
        path: of the ``.xml``; both files are replaced if they are there.
        precision: of the weights in the file: ``"float32"`` or ``"float16"``. What is computed
            in is chosen when the model is compiled (``INFERENCE_PRECISION_HINT``).
        settings: ``score_threshold``, ``iou_threshold`` and ``input_type`` of `export_onnx`.

    Raises:
        ValueError: an argument is not as described.
    """
    path = Path(path)
    if path.suffix != ".xml":
        raise ValueError(f"path: expected a name that ends in .xml, got {path}")
    check_choice("precision", precision, get_args(FilePrecision))
    with TemporaryDirectory() as folder:
        made = Path(folder) / "detector.xml"
        export_onnx(model, made.with_suffix(".onnx"), **settings)
        openvino.save_model(
            openvino.convert_model(made.with_suffix(".onnx")),
            made,
            compress_to_fp16=precision == "float16",
        )
        # Both are on the disk before either takes its name.
        with whole_file(path) as description, whole_file(path.with_suffix(".bin")) as weights:
            description.write(made.read_bytes())
            description.flush()
            weights.write(made.with_suffix(".bin").read_bytes())
