"""A graph of ONNX that grows node by node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
from onnx import helper


class Graph:
    """Makes a node of every operator that is called on it: ``graph.Add(a, b)``, by their names.

    Attributes:
        nodes: in their order.

    Args:
        prefix: of the names of all values that it makes.

    Example:
        >>> graph = Graph("before/")
        >>> graph.Transpose(graph.Add("a", "b"), perm=[1, 0])
        'before/Transpose_1'
        >>> [node.op_type for node in graph.nodes]
        ['Add', 'Transpose']
    """

    _OUTPUTS = {"TopK": 2, "Unique": 4}  # noqa: RUF012  # of operators that have several

    def __init__(self, prefix: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self._prefix = prefix

    def __getattr__(self, operator: str) -> Callable[..., Any]:
        def add(*inputs: str, **attributes: Any) -> Any:
            name = f"{self._prefix}{operator}_{len(self.nodes)}"
            count = attributes.get("num_outputs", self._OUTPUTS.get(operator, 1))
            outputs = [name] if count == 1 else [f"{name}_{index}" for index in range(count)]
            self.nodes.append(helper.make_node(operator, inputs, outputs, name, **attributes))
            return name if count == 1 else tuple(outputs)

        if operator.startswith("_"):
            raise AttributeError(operator)
        return add

    def name(self, value: str, name: str) -> None:
        """Gives a value of the graph a name for the outside."""
        self.nodes.append(helper.make_node("Identity", [value], [name], f"{self._prefix}{name}"))
