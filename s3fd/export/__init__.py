"""Detectors for places where s3fd is not: files of ONNX, OpenVINO and torch.export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from s3fd._lazy import import_at_first_use

if TYPE_CHECKING:
    from s3fd.export.onnx_file import export_onnx
    from s3fd.export.openvino_file import export_openvino
    from s3fd.export.torch_file import export_torch
    from s3fd.export.translations import onnx_translations

__all__ = ["export_onnx", "export_openvino", "export_torch", "onnx_translations"]

__getattr__, __dir__ = import_at_first_use(
    __name__,
    {
        "export_onnx": "s3fd.export.onnx_file",
        "export_openvino": "s3fd.export.openvino_file",
        "export_torch": "s3fd.export.torch_file",
        "onnx_translations": "s3fd.export.translations",
    },
    extras={"onnx": "export", "onnxscript": "export", "openvino": "openvino"},
)
