import pytest
import torch

from s3fd.models import S3FD
from s3fd.models.calibrate import fold_calibration
from s3fd.ops import max_out_background


@pytest.mark.parametrize("backgrounds", [1, 3])
def test_the_log_odds_follow_the_line(backgrounds):
    torch.manual_seed(0)
    model = S3FD("light", backgrounds=backgrounds).eval()
    x = model.preprocess(torch.randint(0, 256, (1, 3, 128, 128), dtype=torch.uint8))

    def log_odds():
        logits, deltas = model(x)
        maps = [max_out_background(level) for level in logits]
        return torch.cat([(m[:, 1] - m[:, 0]).flatten() for m in maps]), deltas

    with torch.no_grad():
        before, boxes = log_odds()
        fold_calibration(model, shift=1.5, scale=2.0)
        after, same_boxes = log_odds()
    torch.testing.assert_close(after, (before - 1.5) / 2, atol=1e-4, rtol=1e-4)
    assert all(torch.equal(a, b) for a, b in zip(boxes, same_boxes, strict=True))


@pytest.mark.parametrize(
    ("shift", "scale"), [(0, 0), (0, -1), (float("nan"), 1), (0, float("inf"))]
)
def test_no_calibration_is_folded_in_that_is_none(shift, scale):
    with pytest.raises(ValueError, match="scale above 0"):
        fold_calibration(S3FD("light"), shift=shift, scale=scale)
