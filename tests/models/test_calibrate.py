import pytest
import torch

from s3fd.models import S3FD
from s3fd.models.calibrate import fold_calibration
from s3fd.ops import max_out_background

LAYOUT = {
    "stem": [8], "separable": 8, "blocks": [[16, 16, 2], [16, 16, 2], [16, 16, 2]], "last": 16,
    "extras": [[8, 16], [8, 16], [8, 16]],
}  # fmt: skip
MODELS = [
    {"backbone": "light", "backgrounds": 1}, {"backbone": "light", "backgrounds": 3},
    {"backbone": "mobilenet_v2", "backgrounds": 1, "layout": LAYOUT},  # two shapes at first
    {"backbone": "mobilenet_v2", "backgrounds": 3, "layout": LAYOUT},
]  # fmt: skip


@pytest.mark.parametrize("options", MODELS)
def test_the_log_odds_follow_the_line(options):
    torch.manual_seed(0)
    model = S3FD(**options).eval()
    x = model.preprocess(torch.randint(0, 256, (1, 3, 128, 128), dtype=torch.uint8))

    def log_odds():
        logits, deltas = model(x)
        shapes = model.grid.num_shapes
        anchors = [
            level.unflatten(1, (count, -1)).flatten(0, 1)
            for level, count in zip(logits, shapes, strict=True)
        ]  # [B * shapes, C, H, W]
        maps = [max_out_background(level) for level in anchors]
        return torch.cat([(m[:, 1] - m[:, 0]).flatten() for m in maps]), deltas

    with torch.no_grad():
        before, boxes = log_odds()
        fold_calibration(model, shift=1.5, scale=2.0)
        after, same_boxes = log_odds()
    torch.testing.assert_close(after, (before - 1.5) / 2, atol=1e-4, rtol=1e-4)
    assert all(torch.equal(a, b) for a, b in zip(boxes, same_boxes, strict=True))


def test_a_joined_head_is_refused_with_a_remedy():
    with pytest.raises(
        ValueError, match=r"model: .*not joined, got .* fuse\(\).*that it was made of"
    ):
        fold_calibration(S3FD("light").fuse(), shift=1, scale=2)


@pytest.mark.parametrize(
    ("shift", "scale"), [(0, 0), (0, -1), (float("nan"), 1), (0, float("inf"))]
)
def test_no_calibration_is_folded_in_that_is_none(shift, scale):
    with pytest.raises(ValueError, match="scale above 0"):
        fold_calibration(S3FD("light"), shift=shift, scale=scale)
