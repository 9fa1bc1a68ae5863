"""Prints a hash of what each operator answers to some made-up inputs."""

import hashlib

import torch
from torch import Tensor

from s3fd import ops

GRID = ops.AnchorGrid(strides=(4, 8, 16), sizes=(16, 32, 64))
LEVELS = [(40, 40), (20, 20), (10, 10)]


def show(name: str, *tensors: Tensor) -> None:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    print(name, digest.hexdigest())


def show_gradients(name: str, outputs: tuple[Tensor, ...], *inputs: Tensor) -> None:
    show(name, *outputs)
    sum(output.float().square().sum() for output in outputs).backward()
    show(f"{name}_backward", *(tensor.grad for tensor in inputs))


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def random_boxes(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator) * 140
    return torch.cat([corner, corner + torch.rand(count, 2, generator=generator) * 40 + 1], dim=1)


def maps(dtype: torch.dtype, layout: torch.memory_format) -> None:
    kind = f"{dtype}_{layout}".replace("torch.", "")
    logits = random(2, 4, 37, 41).to(dtype).contiguous(memory_format=layout).requires_grad_()
    show_gradients(f"max_out_{kind}", (ops.max_out_background(logits),), logits)
    features = random(2, 67, 19, 23).to(dtype).contiguous(memory_format=layout).requires_grad_()
    weight = random(67).requires_grad_()
    show_gradients(f"norm_{kind}", (ops.l2_normalize(features, weight),), features, weight)


def box_coding(dtype: torch.dtype) -> None:
    kind = str(dtype).removeprefix("torch.")
    anchors = random_boxes(1003, seed=1).to(dtype)
    boxes = random_boxes(1003).to(dtype).requires_grad_()
    show_gradients(f"encode_{kind}", (ops.encode_boxes(boxes, anchors),), boxes)
    deltas = random(3, 1003, 4).to(dtype).requires_grad_()
    decoded = ops.decode_boxes(deltas, anchors, image_size=(150, 160))
    show_gradients(f"decode_{kind}", (decoded,), deltas)
    columns = deltas.detach().transpose(1, 2).contiguous().transpose(1, 2)
    show(f"decode_columns_{kind}", ops.decode_boxes(columns, anchors))


def detections() -> None:
    boxes, scores = random_boxes(5000), random(5000).sigmoid()
    show("nms", ops.nms(boxes, scores, 0.3))
    show("nms_few", ops.nms(boxes[:900], scores[:900], 0.5))
    groups = torch.arange(5000) % 7
    show("batched_nms", ops.batched_nms(boxes, scores, groups, 0.3))
    show("soft_nms", *ops.soft_nms(boxes[:900], scores[:900]))
    show("soft_nms_linear", *ops.soft_nms(boxes[:900], scores[:900], decay="linear"))
    show("vote_boxes", *ops.vote_boxes(boxes, scores, 0.3))
    logits = [2 * random(2, 2, *level) for level in LEVELS]
    deltas = [random(2, 4, *level) for level in LEVELS]
    found = ops.decode_detections(logits, deltas, GRID, image_sizes=[(160, 160), (150, 140)])
    assert len(found[0]) > 20
    show("detections", *found)


def training() -> None:
    boxes = [random_boxes(30, seed=2), random_boxes(3, seed=3)]
    anchors = GRID.anchors(LEVELS)
    matched = GRID.match(LEVELS, boxes)
    show("anchors", anchors)
    show("match_grid", matched)
    show("match_anchors", ops.match_anchors(anchors, boxes))
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        logits = random(2, len(anchors), 2).to(dtype).requires_grad_()
        deltas = random(2, len(anchors), 4).to(dtype).requires_grad_()
        losses = ops.multibox_loss(logits, deltas, anchors, boxes, matched)
        show_gradients(f"loss_{dtype}", losses, logits, deltas)


def main() -> None:
    for dtype in (torch.float32, torch.float64, torch.float16, torch.bfloat16):
        for layout in (torch.contiguous_format, torch.channels_last):
            maps(dtype, layout)
        box_coding(dtype)
    detections()
    training()


if __name__ == "__main__":
    main()
