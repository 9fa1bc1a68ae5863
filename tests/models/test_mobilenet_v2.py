"""The backbone of small published networks: its layout, and what the layout means."""

import json

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch

from s3fd import FaceDetector
from s3fd.models import S3FD, ModelConfig, load_checkpoint, save_checkpoint
from s3fd.models.mobilenet_v2 import MobileNetV2Layout

BLOCKS = ((8, 6, 2), (12, 6, 1), (12, 8, 2), (16, 12, 2), (24, 12, 1))
LAYOUT = MobileNetV2Layout((4, 5), 5, BLOCKS, 16, ((6, 12), (6, 13), (6, 14)))
FIELDS = {
    "stem": [4, 5],
    "separable": 5,
    "blocks": [list(block) for block in BLOCKS],
    "last": 16,
    "extras": [[6, 12], [6, 13], [6, 14]],
}


@pytest.mark.parametrize("size", [(1, 1), (64, 96), (97, 142)])
def test_every_level_has_the_cells_and_channels_of_the_grid(size):
    model = S3FD("mobilenet_v2", layout=LAYOUT, backgrounds=1).eval()
    with torch.inference_mode():
        logits, deltas = model(torch.zeros(1, 3, *size))
    cells = model.grid.feature_sizes(size)
    assert [tuple(level.shape[2:]) for level in logits] == cells
    assert [level.shape[1] for level in logits] == [4, 2, 2, 2, 2]
    assert [level.shape[1] for level in deltas] == [8, 4, 4, 4, 4]


def test_the_finest_level_is_the_expansion_before_stride_16():
    model = S3FD("mobilenet_v2", layout=LAYOUT, backgrounds=1).eval()
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = model.backbone.separable(model.backbone.stem(x))
        for block in model.backbone.blocks[:3]:
            before = block.project(before, block.expand(before))
        expected = model.backbone.blocks[3].expand(before)
        assert torch.equal(model.backbone(x)[0], expected)


def test_a_detector_runs_on_it():
    torch.manual_seed(0)
    detector = FaceDetector(S3FD("mobilenet_v2", layout=LAYOUT, backgrounds=1), device="cpu")
    image = torch.randint(0, 256, (3, 50, 70), dtype=torch.uint8)
    found = detector(image, score_threshold=0.01)
    assert found.image_size == (50, 70)
    assert len(found) > 0


def test_the_layout_may_be_a_mapping_of_lists_as_json_has_it():
    config = ModelConfig("mobilenet_v2", layout=FIELDS)
    assert config.layout == LAYOUT
    assert config == ModelConfig("mobilenet_v2", layout=LAYOUT)
    assert hash(config) == hash(ModelConfig("mobilenet_v2", layout=LAYOUT))


def test_a_layout_of_any_kind_of_integers_is_that_of_its_file(tmp_path):
    stem, last = [np.int64(width) for width in FIELDS["stem"]], np.int32(FIELDS["last"])
    changes = {"stem": stem, "last": last, "separable": np.int64(FIELDS["separable"])}
    model = S3FD("mobilenet_v2", layout={**FIELDS, **changes})
    save_checkpoint(model, tmp_path / "mobile.safetensors")
    loaded = load_checkpoint(tmp_path / "mobile.safetensors").config
    assert loaded == model.config
    assert repr(loaded) == repr(model.config)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"stem": ()}, ValueError, "stem: expected at least one"),
        ({"stem": 4}, TypeError, "stem: expected a sequence"),
        ({"stem": (4, 0)}, ValueError, "stem: expected an integer >= 1"),
        ({"separable": 1.5}, TypeError, "separable: expected an integer"),
        ({"blocks": BLOCKS[:3]}, ValueError, "blocks: expected three with stride 2"),
        ({"blocks": (*BLOCKS, (8, 6, 3))}, ValueError, "blocks: expected three with stride 2"),
        ({"blocks": (*BLOCKS, (8, 6))}, ValueError, r"blocks\[5\]: expected 3 integers"),
        ({"last": True}, TypeError, "last: expected an integer"),
        ({"extras": ((6, 12),)}, ValueError, "extras: expected three levels, got 1"),
    ],
)
def test_a_layout_that_is_none_is_refused_by_its_field(changes, error, message):
    with pytest.raises(error, match=message):
        MobileNetV2Layout(**{**FIELDS, **changes})


@pytest.mark.parametrize("options", [("mobilenet_v2", None), ("light", LAYOUT), ("vgg16", FIELDS)])
def test_this_backbone_alone_has_a_layout(options):
    backbone, layout = options
    with pytest.raises(ValueError, match=r"layout: expected a MobileNetV2Layout for the backbone"):
        ModelConfig(backbone, layout=layout)


@pytest.mark.parametrize(
    "layout",
    [None, 3, {}, {**FIELDS, "depth": 3}, {**FIELDS, "stem": "4"}, {**FIELDS, "last": -1}],
)
def test_a_damaged_layout_in_a_file_is_named(tmp_path, layout):
    path = tmp_path / "mobile.safetensors"
    save_checkpoint(S3FD("mobilenet_v2", layout=LAYOUT), path)
    with safetensors.safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    config = {**json.loads(metadata["s3fd.config"]), "layout": layout}
    metadata = {"s3fd.format": metadata["s3fd.format"], "s3fd.config": json.dumps(config)}
    safetensors.torch.save_file(safetensors.torch.load_file(path), path, metadata)
    with pytest.raises(ValueError, match=r"mobile\.safetensors: .*s3fd\.config.* is damaged"):
        load_checkpoint(path)
