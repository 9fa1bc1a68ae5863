"""Messages quote what came in a few words, however much of it there is."""

import numpy as np
import pytest
import torch

from s3fd import Detections, FaceDetector, ops
from s3fd.evaluation.matching import check_iou_threshold
from s3fd.images import read_image
from s3fd.models import S3FD
from s3fd.training import TrainingConfig


class Large:
    """Such as a network, or a table, that is passed where a word is expected."""

    def __repr__(self):
        return "many words, \n" * 1000


LARGE = Large()
FACES = Detections(torch.zeros(0, 4), torch.zeros(0), (10, 10))
PICTURE = np.zeros((8, 8, 3), np.uint8)
MAPS = [torch.zeros(1, channels, 2, 2) for channels in (2, 4)]


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: S3FD(LARGE), "backbone"),
        (lambda: S3FD("light", channel_order=LARGE), "channel_order"),
        (lambda: S3FD("vgg16", pools=LARGE), "pools"),
        (lambda: FaceDetector.from_pretrained("light", "cpu", precision=LARGE), "precision"),
        (lambda: FaceDetector.from_pretrained("light", "cpu").to(LARGE), "device"),
        (lambda: list(FaceDetector(S3FD(), "cpu").stream([], on_error=LARGE)), "on_error"),
        (lambda: read_image(PICTURE, channel_order=LARGE), "channel_order"),
        (lambda: FACES.sorted(by=LARGE), "by"),
        (lambda: Detections(torch.zeros(0, 4), torch.zeros(0), LARGE), "image_size"),
        (lambda: FACES[LARGE], "index"),
        (lambda: check_iou_threshold(LARGE), "iou_threshold"),
        (lambda: TrainingConfig(data=".", out=".", model=LARGE), "model"),
        (lambda: ops.soft_nms(torch.zeros(0, 4), torch.zeros(0), decay=LARGE), "decay"),
        (lambda: ops.AnchorGrid([4], [LARGE]), "sizes"),
        (lambda: ops.AnchorGrid([4], [[16]], backgrounds=[1] * 9999), "backgrounds"),
        (
            lambda: ops.decode_detections(
                MAPS[:1], MAPS[1:], grid=ops.AnchorGrid([4], [[16]]), activation=LARGE
            ),
            "activation",
        ),
        (
            lambda: ops.multibox_loss(
                torch.zeros(1, 1, 2), torch.zeros(1, 1, 4), torch.ones(1, 4), [torch.ones(1, 4)],
                torch.zeros(1, 1, dtype=torch.int64), normalize_by=LARGE,
            ),
            "normalize_by",
        ),
    ],
)  # fmt: skip
def test_a_message_is_short_and_names_the_argument(call, name):
    with pytest.raises((TypeError, ValueError), match=name) as caught:
        call()
    assert len(str(caught.value)) < 500
