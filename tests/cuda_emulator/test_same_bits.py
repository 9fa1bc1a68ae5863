"""The CUDA kernels give the CPU's numbers, to the last bit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

# Every operator whose numbers take an exponential or a logarithm, on inputs that need it: sizes
# differ from the anchors', margins from 0. Saves what comes out to the path that it is given.
COMPUTE = """
import sys
import torch

if "emulated" in sys.argv:
    import kernel_bridge
from s3fd.ops import AnchorGrid, decode_boxes, decode_detections, encode_boxes, multibox_loss

dtype = getattr(torch, sys.argv[2])
torch.manual_seed(0)
results = {}

anchors = torch.rand(5000, 4) * 40
anchors[:, 2:] += anchors[:, :2] + 1
deltas = (torch.randn(5000, 4) * torch.tensor([1, 1, 4, 4])).to(dtype).requires_grad_()
boxes = decode_boxes(deltas, anchors.to(dtype))
results["decode_boxes"] = boxes, *torch.autograd.grad(boxes.sum(), deltas)
boxes = (anchors + torch.rand(5000, 4) * 9).to(dtype).requires_grad_()
code = encode_boxes(boxes, anchors.to(dtype))
results["encode_boxes"] = code, *torch.autograd.grad(code.sum(), boxes)

grid = AnchorGrid(strides=(4, 8), sizes=(16, (32, 48)))
levels = ((1, 48), (2, 24))  # shapes, cells
logits = [(2 * torch.randn(2, 2 * shapes, n, n)).to(dtype) for shapes, n in levels]
shifts = [torch.randn(2, 4 * shapes, n, n).to(dtype) for shapes, n in levels]
for candidates in (300, 5000):
    found = decode_detections(
        logits, shifts, grid, score_threshold=0.2, candidates=candidates, keep=2000,
        image_sizes=[(192, 192), (150, 180)])
    results[f"decode_detections of {candidates}"] = found
logits = [(3 * torch.randn(2, 5 * shapes, n, n)).to(dtype) for shapes, n in levels]
results["decode_detections of classes"] = decode_detections(
    logits, shifts, grid, score_threshold=0.2, candidates=5000, keep=2000, classes=4,
    return_indices=True)

logits = torch.randn(3, 4000, 2).to(dtype).requires_grad_()
deltas = torch.randn(3, 4000, 4).to(dtype).requires_grad_()
matched = torch.randint(-30, 20, (3, 4000)).clamp(min=-2)
faces = [torch.rand(20, 4) + torch.tensor([0.0, 0, 9, 12])] * 3
losses = multibox_loss(logits, deltas, anchors[:4000], faces, matched)
results["gradients of multibox_loss"] = torch.autograd.grad(sum(losses), (logits, deltas))
torch.save(results, sys.argv[1])
if "emulated" in sys.argv:
    print(*kernel_bridge.called)
"""


def bits(tensor: torch.Tensor) -> torch.Tensor:
    """The same tensor for any NaN, and another one for -0 than for 0."""
    if not tensor.is_floating_point():
        return tensor
    whole = {2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()]
    numbers = tensor.detach()
    return torch.where(numbers == numbers, numbers, torch.nan).view(whole)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_exponentials_and_logarithms_are_the_same_to_the_last_bit(
    emulated_python: Callable[..., subprocess.CompletedProcess[str]], tmp_path, dtype
):
    on_cpu, on_cuda = tmp_path / "cpu.pt", tmp_path / "cuda.pt"
    subprocess.run([sys.executable, "-c", COMPUTE, on_cpu, dtype], check=True)
    done = emulated_python("-c", COMPUTE, str(on_cuda), dtype, "emulated")
    assert "decode_detections" in done.stdout, done.stderr
    expected, found = torch.load(on_cpu), torch.load(on_cuda)
    assert len(expected["decode_detections of 5000"][0]) > 500
    for name, tensors in expected.items():
        for index, (one, other) in enumerate(zip(tensors, found[name], strict=True)):
            assert torch.equal(bits(one), bits(other)), f"{name}, output {index}"


def test_the_gpu_compiles_the_arithmetic_that_the_emulator_runs():
    sources = Path(__file__).parents[2] / "csrc"
    forked = [p for p in sources.rglob("*") if p.is_file() and "__CUDA_ARCH__" in p.read_text()]
    assert forked == []
