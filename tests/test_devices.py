"""The device that is taken where none is named."""

from __future__ import annotations

import warnings

import pytest

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
