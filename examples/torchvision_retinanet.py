"""torchvision's RetinaNet with one call behind its head, and the same detections.

    python torchvision_retinanet.py

Weights are random, so that nothing is downloaded: what is found means nothing, but is the same.
"""

import torch
from torch import Tensor

from s3fd.ops import AnchorGrid, decode_detections

try:
    from torchvision.models.detection import RetinaNet, retinanet_resnet50_fpn
except (ImportError, RuntimeError) as error:  # RuntimeError: made for another torch
    raise SystemExit(f"skipped, as torchvision can't be imported: {error}") from None


def grid_of(model: RetinaNet, padded: tuple[int, int], maps: list[Tensor]) -> AnchorGrid:
    """The anchors of the model: torchvision centres them on multiples of the strides."""
    (height, width), levels = padded, [level.shape[2:] for level in maps]
    strides = [(width // columns, height // rows) for rows, columns in levels]
    cells = model.anchor_generator.cell_anchors  # of each level [S, 4], around 0
    sizes = [[tuple(shape) for shape in (cell[:, 2:] - cell[:, :2]).tolist()] for cell in cells]
    return AnchorGrid(strides, sizes, offset=0.0)


def detect(model: RetinaNet, images: list[Tensor]) -> tuple[Tensor, ...]:
    """Boxes, scores, splits and labels, in pixels of the resized images."""
    batch, _ = model.transform(images)
    features = list(model.backbone(batch.tensors).values())
    classes, boxes = model.head.classification_head, model.head.regression_head
    logits = [classes.cls_logits(classes.conv(level)) for level in features]
    deltas = [boxes.bbox_reg(boxes.conv(level)) for level in features]
    return decode_detections(
        logits,
        deltas,
        grid_of(model, batch.tensors.shape[2:], logits),
        activation="sigmoid",
        classes=classes.num_classes,
        box_weights=model.box_coder.weights,
        score_threshold=model.score_thresh,
        iou_threshold=model.nms_thresh,
        candidates=model.topk_candidates,
        keep=model.detections_per_img,
        image_sizes=batch.image_sizes,
    )


@torch.no_grad()
def main() -> None:
    torch.manual_seed(0)
    # No limit of candidates binds: torchvision's is for each level, ours for each image.
    model = retinanet_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=7,
        min_size=128,
        score_thresh=0.55,
        topk_candidates=100_000,
    ).eval()
    # Scores on both sides of the threshold, and boxes near their anchors.
    torch.nn.init.normal_(model.head.classification_head.cls_logits.weight, std=0.005)
    torch.nn.init.zeros_(model.head.classification_head.cls_logits.bias)
    torch.nn.init.normal_(model.head.regression_head.bbox_reg.weight, std=0.001)
    # Of one size: torchvision keeps boxes of the padding, of which clipping leaves nothing.
    images = [torch.rand(3, 128, 160), torch.rand(3, 128, 160)]

    boxes, scores, splits, labels = detect(model, images)
    for i, theirs in enumerate(model(images)):
        ours = slice(splits[i], splits[i + 1])
        assert len(theirs["scores"]) > 0
        torch.testing.assert_close(boxes[ours], theirs["boxes"], rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(scores[ours], theirs["scores"])
        assert torch.equal(labels[ours], theirs["labels"])
    print(f"{len(boxes)} detections are those of torchvision")


if __name__ == "__main__":
    main()
