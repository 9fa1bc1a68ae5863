"""Models that are exported with free height and width, and run by ONNX Runtime."""

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from s3fd.export import onnx_translations


def check_exported(model: nn.Module, file) -> list[tuple[Tensor, ...]]:
    """Compares what a model and its ONNX file give for images of three sizes.

    Returns:
        The model's results.
    """
    free = {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    program = torch.onnx.export(
        model,
        (torch.randn(1, 3, 96, 128),),
        dynamo=True,
        dynamic_shapes=(free,),
        custom_translation_table=onnx_translations(),
        opset_version=18,
        verbose=False,
    )
    program.save(file)
    session = onnxruntime.InferenceSession(file)
    (name,) = [value.name for value in session.get_inputs()]
    results = []
    for size in [(96, 128), (64, 208), (160, 50)]:
        images = torch.randn(1, 3, *size)
        with torch.inference_mode():
            results.append(model(images))
        actual = session.run(None, {name: images.numpy()})
        for one, other in zip(actual, results[-1], strict=True):
            np.testing.assert_allclose(one, other, atol=1e-3, rtol=1e-4)
    return results
