import pytest
import torch

from s3fd.models import S3FD, load_checkpoint, pretrained_path
from s3fd.models.box_margins import fold_box_margins
from s3fd.ops import decode_boxes


def maps(model):
    x = model.preprocess(torch.randint(0, 256, (1, 3, 128, 128), dtype=torch.uint8))
    with torch.no_grad():
        return model(x)


def test_boxes_grow_by_the_margins_and_scores_stay():
    model = load_checkpoint(pretrained_path("light")).eval()
    torch.manual_seed(1)
    logits, deltas = maps(model)
    fold_box_margins(model, (0.1, 0.3, 0.05))
    torch.manual_seed(1)
    same_logits, changed = maps(model)
    assert all(torch.equal(a, b) for a, b in zip(logits, same_logits, strict=True))
    anchor = torch.tensor([[100.0, 200.0, 164.0, 264.0]], dtype=torch.float64)
    for before, after in zip(deltas, changed, strict=True):
        old, new = (
            decode_boxes(rows, anchor.expand_as(rows))
            for rows in (level[0].flatten(1).T.double() for level in (before, after))
        )
        old_size, new_size = old[:, 2:] - old[:, :2], new[:, 2:] - new[:, :2]
        torch.testing.assert_close(new_size[:, 0], 1.2 * old_size[:, 0], rtol=1e-5, atol=0)
        torch.testing.assert_close(new_size[:, 1], 1.35 * old_size[:, 1], rtol=1e-5, atol=0)
        moved = (new[:, :2] + new[:, 2:] - old[:, :2] - old[:, 2:]) / 2
        torch.testing.assert_close(moved[:, 0], torch.zeros_like(moved[:, 0]), rtol=0, atol=1e-4)
        torch.testing.assert_close(
            moved[:, 1], torch.full_like(moved[:, 1], -8.0), rtol=0, atol=1e-4
        )


def test_the_variances_are_those_that_boxes_are_decoded_with():
    anchor = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    deltas = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    width = 10 * torch.tensor(0.2).exp()
    expected = torch.tensor([[6.0 - width / 2, 0.0, 6.0 + width / 2, 10.0]])
    torch.testing.assert_close(decode_boxes(deltas, anchor), expected)


@pytest.mark.parametrize("margins", [(), (0.1,), (0.1, 0.1, -0.1), (0, 2, 0), (0, float("nan"), 0)])
def test_margins_that_are_none_change_nothing(margins):
    model = S3FD("light")
    before = [layer.bias.clone() for layer in model.head.deltas]
    with pytest.raises(ValueError, match="box_margins: expected those of the sides, the top"):
        fold_box_margins(model, margins)
    assert all(torch.equal(a, b.bias) for a, b in zip(before, model.head.deltas, strict=True))


def test_a_joined_head_is_refused_with_a_remedy():
    with pytest.raises(
        ValueError, match=r"model: .*not joined, got .* fuse\(\).*that it was made of"
    ):
        fold_box_margins(S3FD("light").fuse(), (0.1, 0.1, 0.1))


def test_torchs_default_device_does_not_matter():
    models = S3FD("light"), S3FD("light")
    fold_box_margins(models[0], (0.1, 0.2, 0.3))
    with torch.device("meta"):
        fold_box_margins(models[1], (0.1, 0.2, 0.3))
    here, there = (model.head.deltas[0].bias for model in models)
    assert torch.equal(here, there)
