"""The host code of an operator never touches the memory of its tensors, which are on the device."""

from __future__ import annotations

RUN = """
import ctypes, mmap, sys
import torch
import kernel_bridge
from s3fd.ops import AnchorGrid

library = kernel_bridge.DEVICE.calls
pages = mmap.mmap(-1, 64 * mmap.PAGESIZE)
address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
used = 0

def on_device(tensor):
    global used
    moved = torch.frombuffer(
        pages, dtype=tensor.dtype, count=tensor.numel(), offset=used
    ).view(tensor.shape)
    moved.copy_(tensor)
    used += -(-tensor.nbytes // 64) * 64
    return moved

corner = torch.rand(300, 2) * 100
boxes, scores = on_device(torch.cat([corner, corner + 20], 1)), on_device(torch.rand(300))
groups, splits = on_device(torch.arange(300) % 3), [0, 200, 300]
none, no_splits = on_device(torch.empty(1, 4))[:0], [0, 0, 0]
anchors = on_device(torch.cat([corner, corner + 16], 1))
matched = on_device(torch.full((2, 300), -1).index_fill(1, torch.arange(0, 300, 9), 0))
logits, deltas = on_device(torch.randn(2, 300, 2)), on_device(torch.randn(2, 300, 4))
maps, map_deltas = on_device(torch.randn(2, 4, 8, 8)), on_device(torch.randn(2, 4, 8, 8))
half = on_device(torch.randn(2, 2, 8, 8))
weight, one = on_device(torch.ones(4)), on_device(torch.ones(()))
kept, counts = on_device(torch.ones(2, 300, dtype=torch.uint8)), on_device(torch.tensor([600, 9]))
shaped = on_device(torch.rand(2, 300, 4) + torch.tensor([0.0, 0, 9, 9]))
grid = AnchorGrid((16,), (16,), backgrounds=3).packed

class Kernels:
    def __getattr__(self, name):
        kernel = torch.library.get_kernel(f"s3fd::{name}", "CUDA")
        return lambda *arguments: kernel.call_boxed(KEYS, *arguments)

KEYS = torch.DispatchKeySet(torch.DispatchKey.CUDA)
ops = Kernels()
calls = {
    "anchors": lambda: ops.anchors(none, [8, 8], grid),
    "batched_nms": lambda: ops.batched_nms(boxes, scores, groups, 0.5),
    "decode_boxes": lambda: ops.decode_boxes(deltas, shaped, 0.1, 0.2, [64, 64]),
    "decode_boxes_backward": lambda: ops.decode_boxes_backward(
        deltas, deltas, shaped, 0.1, 0.2, None, False),
    "decode_detections": lambda: ops.decode_detections(
        [maps], [map_deltas], grid, 0.0, 0.3, 50, 20, [64, 64, 64, 64], 0.1, 0.2),
    "decode_detections_padded": lambda: ops.decode_detections_padded(
        [maps], [map_deltas], grid, 0.0, 0.3, 50, 20, [64, 64, 64, 64], 0.1, 0.2),
    "decode_detections_labelled": lambda: ops.decode_detections_labelled(
        [maps], [map_deltas], grid, 0.0, 0.3, 50, 20, [64, 64, 64, 64], 0.1, 0.2, 1, False),
    "decode_detections_labelled_padded": lambda: ops.decode_detections_labelled_padded(
        [maps], [map_deltas], grid, 0.0, 0.3, 50, 20, [64, 64, 64, 64], 0.1, 0.2, 1, False),
    "encode_boxes": lambda: ops.encode_boxes(shaped, shaped, 0.1, 0.2),
    "encode_boxes_backward": lambda: ops.encode_boxes_backward(
        deltas, shaped, shaped, 0.1, 0.2, True),
    "l2_normalize": lambda: ops.l2_normalize(maps, weight),
    "l2_normalize_backward": lambda: ops.l2_normalize_backward(map_deltas, maps, weight),
    "match_anchors": lambda: ops.match_anchors(
        anchors, boxes, splits, none, no_splits, 0.35, 0.1, -1, True),
    "match_grid": lambda: ops.match_grid(
        boxes, splits, none, no_splits, [8, 8], grid, 0.35, 0.1, -1, True),
    "max_out_background": lambda: ops.max_out_background(maps),
    "max_out_background_backward": lambda: ops.max_out_background_backward(half, maps),
    "multibox_loss": lambda: ops.multibox_loss(
        logits, deltas, anchors, boxes, splits, matched, 3.0, 0.1, 0.2),
    "multibox_loss_backward": lambda: ops.multibox_loss_backward(
        one, one, logits, deltas, anchors, boxes, splits, matched, kept, counts, 0.1, 0.2),
    "nms": lambda: ops.nms(boxes, scores, 0.5),
    "nms_padded": lambda: ops.nms_padded(boxes, scores, 0.5, 100),
    "soft_nms": lambda: ops.soft_nms(boxes, scores, True, 0.5, 0.3, 0.001),
    "vote_boxes": lambda: ops.vote_boxes(boxes, scores, 0.5, True),
}
operators = set(kernel_bridge.operators())
assert set(calls) == operators, set(calls) ^ operators
library.s3fd_emulator_protect(ctypes.c_void_p(address), ctypes.c_size_t(len(pages)))
for name, call in calls.items():
    print(name, flush=True)
    call()
if len(sys.argv) > 1:
    print(float(scores[0]))
"""


def test_no_operator_reads_its_tensors_on_the_host(emulated_python):
    done = emulated_python("-c", RUN)
    called = done.stdout.split()
    assert done.returncode == 0, f"{called[-1:]}: {done.returncode}\n{done.stderr[-3000:]}"
    assert len(called) >= 22


def test_a_host_that_reads_them_would_be_noticed(emulated_python):
    assert emulated_python("-c", RUN, "and read").returncode == -11  # a segmentation fault
