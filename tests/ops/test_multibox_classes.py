"""The multi-box loss of several classes, and what it is divided by."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from loss_cases import batch_of
from torch import Tensor

from s3fd.ops import multibox_loss, reference

Batch = tuple[Tensor, Tensor, Tensor, list[Tensor], Tensor, list[Tensor]]


def batch_of_classes(
    classes: int, num_images: int, num_anchors: int, seed: int, dtype: torch.dtype = torch.float64
) -> Batch:
    """Logits of which none tie, and labels."""
    _, deltas, anchors, boxes, matched = batch_of(num_images, num_anchors, seed, dtype)
    generator = torch.Generator().manual_seed(seed)
    shape = (num_images, num_anchors, 1 + classes)
    logits = 3 * torch.randn(shape, generator=generator, dtype=torch.float64)
    labels = [torch.randint(classes, (len(b),), generator=generator) for b in boxes]
    return logits.to(dtype), deltas, anchors, boxes, matched, labels


def replay(batch: Batch, negative_ratio: float, normalize_by: str) -> Tensor:
    """The class loss: torch's cross-entropy of every anchor, sorted image by image."""
    logits, _, _, _, matched, labels = batch
    total, kept, positives = logits.sum() * 0, 0, 0
    for image, row in enumerate(matched):
        target = torch.tensor([1 + int(labels[image][box]) if box >= 0 else 0 for box in row])
        losses = F.cross_entropy(logits[image], target.long(), reduction="none")
        positive, background = losses[row >= 0], losses[row == -1]
        wanted = min(int(negative_ratio * len(positive)), len(background))
        total = total + positive.sum() + background.sort(descending=True).values[:wanted].sum()
        kept, positives = kept + len(positive) + wanted, positives + len(positive)
    return total / max(kept if normalize_by == "kept" else positives, 1)


@given(
    classes=st.integers(1, 5),
    num_images=st.integers(1, 3),
    num_anchors=st.integers(1, 24),
    negative_ratio=st.sampled_from([0, 0.5, 3, 100]),
    normalize_by=st.sampled_from(["kept", "positives"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_class_loss_is_the_cross_entropy_of_what_is_kept(
    classes: int,
    num_images: int,
    num_anchors: int,
    negative_ratio: float,
    normalize_by: Any,
    seed: int,
) -> None:
    batch = batch_of_classes(classes, num_images, num_anchors, seed)
    logits, deltas, anchors, boxes, matched, labels = batch
    logits.requires_grad_()
    expected = replay(batch, negative_ratio, normalize_by)
    (wanted,) = torch.autograd.grad(expected, logits)
    options: dict[str, Any] = {
        "negative_ratio": negative_ratio,
        "labels": labels,
        "normalize_by": normalize_by,
    }
    _, box_loss = multibox_loss(logits[..., :2], deltas, anchors, boxes, matched)
    for function in (multibox_loss, reference.multibox_loss):
        losses = function(logits, deltas, anchors, boxes, matched, **options)
        torch.testing.assert_close(losses[0], expected)
        torch.testing.assert_close(losses[1], box_loss)
        (gradient,) = torch.autograd.grad(losses[0], logits)
        torch.testing.assert_close(gradient, wanted)


def test_one_class_is_a_face() -> None:
    logits, deltas, anchors, boxes, matched, labels = batch_of_classes(1, 2, 40, 0, torch.float32)
    expected = multibox_loss(logits, deltas, anchors, boxes, matched)
    losses = multibox_loss(logits, deltas, anchors, boxes, matched, labels=labels)
    assert torch.equal(losses[0], expected[0])
    assert torch.equal(losses[1], expected[1])


@pytest.mark.parametrize("labelled", [True, False])
def test_positives_divide_what_is_otherwise_divided_by_all_that_are_kept(labelled: bool) -> None:
    anchors = torch.tensor([[0.0, 0, 16, 16]] * 6)
    boxes, matched = [anchors[:1]], torch.tensor([[0, 0, -1, -1, -1, -1]])
    labels = [torch.tensor([1])] if labelled else None
    arguments = (torch.zeros(1, 6, 3 if labelled else 2), torch.ones(1, 6, 4), anchors, boxes)
    kept = multibox_loss(*arguments, matched, labels=labels)
    positives = multibox_loss(*arguments, matched, labels=labels, normalize_by="positives")
    torch.testing.assert_close(positives[0], kept[0] * 3)  # two positives, four backgrounds
    assert torch.equal(positives[1], kept[1])


@pytest.mark.parametrize("normalize_by", ["kept", "positives"])
def test_without_positives_losses_and_gradients_are_zero(normalize_by: Any) -> None:
    logits, deltas = torch.randn(2, 5, 4).requires_grad_(), torch.randn(2, 5, 4).requires_grad_()
    boxes, matched = [torch.empty(0, 4)] * 2, torch.full((2, 5), -1)
    labels = [torch.empty(0, dtype=torch.int64)] * 2
    losses = multibox_loss(
        logits,
        deltas,
        torch.rand(5, 4),
        boxes,
        matched,
        labels=labels,
        normalize_by=normalize_by,
    )
    assert losses[0] == losses[1] == 0
    sum(losses).backward()
    assert not logits.grad.any()
    assert not deltas.grad.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    batch = batch_of_classes(4, 2, 30, 1, torch.float32)
    logits, deltas, anchors, boxes, matched, labels = batch
    logits, deltas = logits.to(dtype), deltas.to(dtype)
    expected = multibox_loss(logits.float(), deltas.float(), anchors, boxes, matched, labels=labels)
    losses = multibox_loss(logits, deltas, anchors, boxes, matched, labels=labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = multibox_loss(logits, deltas, anchors, boxes, matched, labels=labels)
    for result in (losses, cast):
        assert result[0].dtype == torch.float32
        torch.testing.assert_close(result, expected)


def test_gradients_are_those_of_finite_differences() -> None:
    logits, deltas, anchors, boxes, matched, labels = batch_of_classes(3, 2, 12, 3)
    deltas += 0.1  # away from the corner of the smooth L1 loss

    def losses(logits: Tensor, deltas: Tensor) -> tuple[Tensor, Tensor]:
        return multibox_loss(
            logits, deltas, anchors, boxes, matched, labels=labels, normalize_by="positives"
        )

    assert torch.autograd.gradcheck(losses, (logits.requires_grad_(), deltas.requires_grad_()))
    wanted = torch.autograd.grad(losses(logits, deltas)[0], logits)[0]
    gradient = torch.func.grad(lambda x: losses(x, deltas.detach())[0])(logits.detach())
    torch.testing.assert_close(gradient, wanted)


def test_compiles_into_one_graph() -> None:
    logits, deltas, anchors, boxes, matched, labels = batch_of_classes(3, 2, 30, 0, torch.float32)

    def losses(logits: Tensor, deltas: Tensor) -> tuple[Tensor, Tensor]:
        return multibox_loss(
            logits, deltas, anchors, boxes, matched, labels=labels, normalize_by="positives"
        )

    compiled = torch.compile(losses, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(logits, deltas), losses(logits, deltas))


@pytest.mark.parametrize("seed", range(5))
def test_torchvision_has_the_same_loss(seed: int) -> None:
    pytest.importorskip("torchvision", reason="compares with torchvision's SSD")
    from types import SimpleNamespace

    from torchvision.models.detection._utils import BoxCoder
    from torchvision.models.detection.ssd import SSD

    from s3fd.ops import AnchorGrid

    grid, generator = AnchorGrid((16, 32), ((30, (42, 21)), 60)), torch.Generator()
    generator.manual_seed(seed)
    sizes = grid.feature_sizes((128, 128))
    anchors = grid.anchors(sizes)
    corner = torch.rand(2, 4, 2, generator=generator) * 80
    side = 20 + 40 * torch.rand(2, 4, 2, generator=generator)
    boxes = [*torch.cat([corner, corner + side], dim=2)]
    labels = [*torch.randint(5, (2, 4), generator=generator)]
    matched = grid.match(sizes, boxes, positive_iou=0.5, top_n=0)
    logits = torch.randn(2, len(anchors), 6, generator=generator)
    deltas = torch.randn(2, len(anchors), 4, generator=generator)
    expected = SSD.compute_loss(
        SimpleNamespace(box_coder=BoxCoder((10.0, 10.0, 5.0, 5.0)), neg_to_pos_ratio=3),
        [{"boxes": b, "labels": n + 1} for b, n in zip(boxes, labels, strict=True)],
        {"bbox_regression": deltas, "cls_logits": logits},
        [anchors, anchors],
        [*matched],
    )
    class_loss, box_loss = multibox_loss(
        logits, deltas, anchors, boxes, matched, labels=labels, normalize_by="positives"
    )
    torch.testing.assert_close(class_loss, expected["classification"])
    torch.testing.assert_close(box_loss, expected["bbox_regression"])


@pytest.mark.parametrize(
    ("labels", "error", "text"),
    [
        (torch.zeros(1), (TypeError, ValueError), "labels"),
        (5, TypeError, "labels: expected a list"),
        ([], ValueError, "labels: .*1 images, got 0"),
        ([torch.tensor([0.5, 1])], TypeError, r"labels\[0\]"),
        ([torch.tensor([0])], ValueError, r"labels\[0\]: expected .*\[2\]"),
        ([torch.tensor([0, 3])], ValueError, r"labels\[0\]: expected classes from 0 to 2.*got 3"),
        ([torch.tensor([0, -1])], ValueError, "got -1"),
        ([torch.tensor([0, 0], device="meta")], ValueError, "meta"),
    ],
)
def test_bad_labels_are_named(labels: Any, error: Any, text: str) -> None:
    boxes, matched = [torch.rand(2, 4)], torch.tensor([[0, 1, -1]])
    arguments = (torch.zeros(1, 3, 4), torch.zeros(1, 3, 4), torch.rand(3, 4), boxes, matched)
    with pytest.raises(error, match=text):
        multibox_loss(*arguments, labels=labels)


def test_a_match_with_a_box_that_is_not_there_is_named() -> None:
    boxes, matched = [torch.rand(2, 4)], torch.tensor([[0, 7, -1]])
    arguments = (torch.zeros(1, 3, 4), torch.zeros(1, 3, 4), torch.rand(3, 4), boxes, matched)
    with pytest.raises(ValueError, match=r"matched\[0\].*got 7"):
        multibox_loss(*arguments, labels=[torch.tensor([0, 1])])


def test_an_unknown_normalization_is_named() -> None:
    logits, deltas, anchors, boxes, matched, labels = batch_of_classes(2, 1, 3, 0)
    with pytest.raises(ValueError, match="normalize_by: expected 'kept' or 'positives'"):
        multibox_loss(
            logits, deltas, anchors, boxes, matched, labels=labels, normalize_by="anchors"
        )


def test_logits_with_labels_have_a_background() -> None:
    logits, deltas, anchors, boxes, matched, _ = batch_of_classes(2, 1, 3, 0)
    labels = [torch.zeros(len(b), dtype=torch.int64) for b in boxes]
    with pytest.raises(
        ValueError, match=r"logits: expected at least one channel with labels.*, 0\]"
    ):
        multibox_loss(logits[..., :0], deltas, anchors, boxes, matched, labels=labels)
