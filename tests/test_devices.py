"""The device that is taken where none is named."""

from __future__ import annotations

import warnings

import pytest
import torch

from s3fd import devices


@pytest.fixture
def gpu(monkeypatch):
    """A machine that has one, as far as torch says."""
    monkeypatch.setattr(devices, "available_devices", lambda: ["cpu", "cuda:0"])


def test_a_gpu_is_the_default_where_its_kernels_are(gpu, monkeypatch):
    monkeypatch.setattr(devices, "no_cuda_reason", lambda: None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert devices.resolve_device(None).type == "cuda"


def test_a_gpu_without_kernels_is_left_alone_with_a_warning(gpu, monkeypatch):
    monkeypatch.setattr(devices, "no_cuda_reason", lambda: "they were not built (no nvcc)")
    with pytest.warns(UserWarning, match=r"no CUDA kernels here: they were not built \(no nvcc\)"):
        assert devices.resolve_device(None).type == "cpu"
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # who names a device is not told
        assert devices.resolve_device("cpu").type == "cpu"
        assert devices.resolve_device("cuda").type == "cuda"


def test_the_cpu_is_the_default_without_a_gpu(monkeypatch):
    monkeypatch.setattr(devices, "available_devices", lambda: ["cpu"])
    monkeypatch.setattr(devices, "no_cuda_reason", lambda: pytest.fail("nobody asked"))
    assert devices.resolve_device(None).type == "cpu"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("cpu:0", "cpu"), ("mps:0", "mps"), ("mps", "mps"), ("cuda:0", "cuda:0"), ("cuda:1", None)],
)
def test_the_first_device_of_a_kind_may_be_called_by_its_number(monkeypatch, name, expected):
    monkeypatch.setattr(devices, "available_devices", lambda: ["cpu", "cuda:0", "mps"])
    for device in (name, torch.device(name)):
        if expected is not None:
            assert devices.resolve_device(device) == torch.device(expected)
            continue
        with pytest.raises(ValueError, match=r"expected one of .*, got 'cuda:1'"):
            devices.resolve_device(device)


@pytest.mark.parametrize("name", ["cpu:1", "mps:0", "mps", "meta", "xpu:0"])
def test_a_device_that_is_not_there_is_named(monkeypatch, name):
    monkeypatch.setattr(devices, "available_devices", lambda: ["cpu"])
    with pytest.raises(ValueError, match=f"expected one of .*'cpu'.*, got '{name}'"):
        devices.resolve_device(name)
    with pytest.raises(ValueError, match="device: cuda:0 can't be used"):
        devices.resolve_device("cuda:0")
