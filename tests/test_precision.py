"""In what a network computes, and what that changes."""

from pathlib import Path

import pytest
import torch

import s3fd
from s3fd import FaceDetector
from s3fd.models import S3FD

ASTRONAUT = Path(s3fd.__file__).parent / "assets" / "astronaut.jpg"


@pytest.fixture
def cpu_with(monkeypatch):
    def have(**capabilities):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)

    return have


@pytest.mark.parametrize("instructions", ["avx512_bf16", "amx_bf16"])
def test_auto_is_bfloat16_where_the_cpu_multiplies_in_it(cpu_with, instructions):
    cpu_with(avx512_bf16=False, amx_bf16=False)
    assert FaceDetector(S3FD("light"), "cpu").precision == "float32"
    cpu_with(**{instructions: True})
    assert FaceDetector(S3FD("light"), "cpu").precision == "bfloat16"


def test_auto_is_float32_where_torch_can_not_tell(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert FaceDetector(S3FD("light"), "cpu").precision == "float32"


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_other_precisions_find_the_same_face(precision):
    exact = FaceDetector.from_pretrained("light", "cpu", precision="float32")(ASTRONAUT)
    found = FaceDetector.from_pretrained("light", "cpu", precision=precision)(ASTRONAUT)
    assert found.boxes.dtype == found.scores.dtype == torch.float32
    assert len(found) == len(exact) == 1
    torch.testing.assert_close(found.boxes, exact.boxes, atol=3, rtol=0)
    torch.testing.assert_close(found.scores, exact.scores, atol=0.02, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("order", ["RGB", "BGR"])
def test_the_mean_is_subtracted_exactly_in_any_layout_and_precision(dtype, order):
    images = torch.arange(256, dtype=torch.uint8).repeat(2 * 3 * 4).reshape(2, 3, 32, 32)
    model = S3FD("light", channel_order=order).to(dtype)
    channels = images.flip(1) if order == "BGR" else images
    expected = channels.double() - torch.tensor(model.config.mean).double()[:, None, None]
    for layout in (torch.contiguous_format, torch.channels_last):
        x = model.preprocess(images.contiguous(memory_format=layout))
        assert x.dtype == dtype
        assert x.is_contiguous(memory_format=layout)
        assert torch.equal(x.double(), expected)


@pytest.mark.parametrize("batch", [0, 1])
def test_preprocessing_takes_tensors_without_pixels(batch):
    model = S3FD("light")
    for shape in [(batch, 3, 0, 5), (batch, 3, 5, 0), (0, 3, 5, 5)]:
        assert model.preprocess(torch.zeros(shape, dtype=torch.uint8)).shape == shape


def test_the_command_line_takes_a_precision(run):
    result = run("detect", ASTRONAUT, "--precision", "float16")
    assert result.exit_code == 0
    assert "1 face in 1 photo" in result.output
    assert run("detect", ASTRONAUT, "--precision", "int8").exit_code == 2
