"""Weights on their way from a network of Caffe's to an `S3FD`."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Parts:
    """Weights by the names that they have in the file, and what these become.

    Attributes:
        tensors: weights, by the names of their layers.
        keys: from these names to those of `S3FD`.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)

    def add(self, layer: str, module: str, **tensors: Tensor) -> None:
        """Adds the weights of a layer, by the names of the parameters of its module."""
        for name, tensor in tensors.items():
            self.tensors[f"{layer}.{name}"] = tensor
            self.keys[f"{layer}.{name}"] = f"{module}.{name}"
