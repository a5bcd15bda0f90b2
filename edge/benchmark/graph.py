"""What a loaded network consists of, and how much of it XNNPACK took over. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DELEGATE = "DELEGATE"
# Kept by float16 files for runtimes that cannot read half precision; they cost nothing per window.
STORAGE = "DEQUANTIZE"
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")


@dataclass(frozen=True)
class Operation:
    """A node of the graph.

    Attributes:
        name: TFLite's name of its kind, "CONV_2D" ...
        inputs, outputs: indices of its tensors.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Delegation:
    """How much runs in XNNPACK.

    Attributes:
        operations: how many there are.
        delegated: how many of them XNNPACK runs.
        partitions: in how many pieces; between two of them tensors change hands.
        left: kinds of the operations that the interpreter runs itself, in order.
    """

    operations: int
    delegated: int
    partitions: int
    left: tuple[str, ...]


def operations(details: Sequence[Mapping[str, Any]]) -> list[Operation]:
    """Nodes as the interpreter lists them, the original ones first and the delegates after."""
    return [
        Operation(
            str(node["op_name"]),
            tuple(int(index) for index in node["inputs"]),
            tuple(int(index) for index in node["outputs"]),
        )
        for node in details
    ]


def delegation(nodes: Sequence[Operation]) -> Delegation:
    """Which operations a delegate stands for: those between its inputs and its outputs.

    The interpreter keeps the nodes that a delegate replaced in its list and does not say which
    they are; walking back from the delegate's outputs to its inputs finds them.
    """
    originals = [node for node in nodes if node.name != DELEGATE]
    delegates = [node for node in nodes if node.name == DELEGATE]
    producer = {tensor: i for i, node in enumerate(originals) for tensor in node.outputs}
    taken: set[int] = set()
    for delegate in delegates:
        waiting = list(delegate.outputs)
        while waiting:
            tensor = waiting.pop()
            node = producer.get(tensor)
            if node is None or node in taken or tensor in delegate.inputs:
                continue
            taken.add(node)
            waiting += originals[node].inputs
    counted = [i for i, node in enumerate(originals) if node.name != STORAGE]
    left = tuple(originals[i].name for i in counted if i not in taken)
    return Delegation(len(counted), len(counted) - len(left), len(delegates), left)


def macs(nodes: Sequence[Operation], shapes: Mapping[int, Sequence[int]]) -> int:
    """Multiply-accumulates per window of all convolutions and dense layers.

    Args:
        nodes: of the graph.
        shapes: of the tensors, by index.
    """
    return sum(operation_macs(node, shapes) for node in nodes)


def operation_macs(node: Operation, shapes: Mapping[int, Sequence[int]]) -> int:
    """Those of one operation; 0 for one without weights."""
    if node.name in CONVOLUTIONS:
        _, height, width, _ = shapes[node.outputs[0]]
        return int(height) * int(width) * _product(shapes[node.inputs[1]])
    if node.name == "FULLY_CONNECTED":
        rows = _product(shapes[node.outputs[0]]) // int(shapes[node.inputs[1]][0])
        return rows * _product(shapes[node.inputs[1]])
    return 0


def _product(shape: Sequence[int]) -> int:
    result = 1
    for size in shape:
        result *= int(size)
    return result
