"""torchvision's SSD300: its loss and its detections by s3fd.ops, and the same numbers.

    python torchvision_ssd.py

Weights are random, so that nothing is downloaded: what is found means nothing, but is the same.
"""

import torch
from torch import Tensor

from s3fd.ops import AnchorGrid, decode_detections, multibox_loss

try:
    from torchvision.models.detection import ssd300_vgg16
    from torchvision.models.detection.ssd import SSD
except (ImportError, RuntimeError) as error:  # RuntimeError: made for another torch
    raise SystemExit(f"skipped, as torchvision can't be imported: {error}") from None

SIDE = 300


def grid_of(model: SSD) -> AnchorGrid:
    """The anchors of the model, whose sizes torchvision keeps as parts of the image."""
    boxes = model.anchor_generator
    sizes = [(level.clamp(0, 1) * SIDE).tolist() for level in boxes._wh_pairs]
    return AnchorGrid(boxes.steps, [[tuple(shape) for shape in level] for level in sizes])


def head_maps(model: SSD, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Class and delta maps as the convolutions leave them, level by level."""
    classes, boxes = model.head.classification_head, model.head.regression_head
    logits = [layer(level) for layer, level in zip(classes.module_list, features, strict=True)]
    deltas = [layer(level) for layer, level in zip(boxes.module_list, features, strict=True)]
    return logits, deltas


def by_anchor(maps: list[Tensor], grid: AnchorGrid) -> Tensor:
    """``[B, A, C]``: the channels of each anchor."""
    rows = [
        level.unflatten(1, (shapes, -1)).permute(0, 3, 4, 1, 2).flatten(1, 3)
        for level, shapes in zip(maps, grid.num_shapes, strict=True)
    ]
    return torch.cat(rows, dim=1)


def check_loss(model: SSD, images: list[Tensor]) -> None:
    boxes = [torch.tensor([[20.0, 30, 120, 160], [150, 90, 210, 260]]), torch.empty(0, 4)]
    labels = [torch.tensor([2, 5]), torch.empty(0, dtype=torch.int64)]  # 0 is no background
    targets = [{"boxes": b, "labels": n + 1} for b, n in zip(boxes, labels, strict=True)]
    theirs = model.train()(images, targets)

    grid = grid_of(model)
    logits, deltas = head_maps(model, features_of(model, images))
    sizes = [tuple(level.shape[2:]) for level in logits]
    matched = grid.match(sizes, boxes, positive_iou=0.5, top_n=0)
    class_loss, box_loss = multibox_loss(
        by_anchor(logits, grid),
        by_anchor(deltas, grid),
        grid.anchors(sizes),
        boxes,
        matched,
        labels=labels,
        normalize_by="positives",
    )
    torch.testing.assert_close(class_loss, theirs["classification"], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(box_loss, theirs["bbox_regression"], rtol=1e-4, atol=1e-4)
    print(f"losses {class_loss:.3f} and {box_loss:.3f} are those of torchvision")


def features_of(model: SSD, images: list[Tensor]) -> list[Tensor]:
    return list(model.backbone(model.transform(images)[0].tensors).values())


def check_detections(model: SSD, images: list[Tensor]) -> None:
    theirs = model.eval()(images)
    logits, deltas = head_maps(model, features_of(model, images))
    boxes, scores, splits, labels = decode_detections(
        logits,
        deltas,
        grid_of(model),
        classes=6,
        box_weights=model.box_coder.weights,
        score_threshold=model.score_thresh,
        iou_threshold=model.nms_thresh,
        candidates=model.topk_candidates,
        keep=model.detections_per_img,
        image_sizes=[(SIDE, SIDE)] * len(images),
    )
    for i, of_image in enumerate(theirs):
        ours = slice(splits[i], splits[i + 1])
        assert len(of_image["scores"]) > 0
        torch.testing.assert_close(boxes[ours], of_image["boxes"], rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(scores[ours], of_image["scores"])
        assert torch.equal(labels[ours], of_image["labels"] - 1)  # theirs count the background
    print(f"{len(boxes)} detections are those of torchvision")


@torch.no_grad()
def main() -> None:
    torch.manual_seed(0)
    # No limit of candidates binds: torchvision's is for each class, ours for each image.
    model = ssd300_vgg16(
        weights=None,
        weights_backbone=None,
        num_classes=7,
        score_thresh=0.4,
        topk_candidates=100_000,
    )
    # Scores on both sides of the threshold, and boxes near their anchors.
    for layer in model.head.classification_head.module_list:
        torch.nn.init.normal_(layer.weight, std=0.005)
    for layer in model.head.regression_head.module_list:
        torch.nn.init.normal_(layer.weight, std=0.002)
    images = [torch.rand(3, SIDE, SIDE), torch.rand(3, SIDE, SIDE)]
    check_loss(model, images)
    check_detections(model, images)


if __name__ == "__main__":
    main()
