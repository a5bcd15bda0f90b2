"""What a network consists of, and what XNNPACK took over."""

from __future__ import annotations

from edge.benchmark.graph import Operation, delegation, macs, operations
from edge.inference import Scorer
from tests.bundles import network


def chain(*names: str) -> list[Operation]:
    """Operations one after the other, tensor i to tensor i + 1; weights are tensors from 100."""
    return [Operation(name, (i, 100 + i), (i + 1,)) for i, name in enumerate(names)]


def test_one_delegate_for_everything():
    nodes = [*chain("CONV_2D", "RESHAPE", "MAX_POOL_2D"), Operation("DELEGATE", (0, 100), (3,))]
    found = delegation(nodes)
    assert (found.operations, found.delegated, found.partitions, found.left) == (3, 3, 1, ())


def test_an_operation_between_two_delegates_is_left_to_the_interpreter():
    nodes = chain("CONV_2D", "SQRT", "FULLY_CONNECTED")
    nodes += [Operation("DELEGATE", (0, 100), (1,)), Operation("DELEGATE", (2, 102), (3,))]
    found = delegation(nodes)
    assert (found.operations, found.delegated, found.partitions) == (3, 2, 2)
    assert found.left == ("SQRT",)


def test_without_a_delegate_everything_is_left():
    found = delegation(chain("CONV_2D", "MAX_POOL_2D"))
    assert (found.delegated, found.partitions) == (0, 0)
    assert found.left == ("CONV_2D", "MAX_POOL_2D")


def test_weights_unpacked_from_half_precision_are_no_operation():
    nodes = [Operation("DEQUANTIZE", (200,), (100,)), *chain("CONV_2D")]
    found = delegation([*nodes, Operation("DELEGATE", (0, 200), (1,))])
    assert (found.operations, found.delegated, found.left) == (1, 1, ())


def test_a_delegate_with_two_outputs_and_a_shared_input_is_counted_once():
    nodes = [
        Operation("CONV_2D", (0,), (1,)),
        Operation("ADD", (1, 0), (2,)),
        Operation("MUL", (1, 2), (3,)),
        Operation("DELEGATE", (0,), (2, 3)),
    ]
    assert delegation(nodes).delegated == 3


def test_multiply_adds_worked_by_hand():
    shapes = {
        0: [1, 8, 6, 3],  # input
        1: [16, 5, 5, 3],  # weights of the convolution: out, height, width, in
        2: [1, 4, 3, 16],
        3: [1, 3, 3, 16],  # of the depthwise one
        4: [1, 4, 3, 16],
        5: [10, 192],  # of the dense layer: out, in
        6: [1, 10],
    }
    nodes = [
        Operation("CONV_2D", (0, 1), (2,)),
        Operation("DEPTHWISE_CONV_2D", (2, 3), (4,)),
        Operation("RESHAPE", (4,), (4,)),
        Operation("FULLY_CONNECTED", (4, 5), (6,)),
    ]
    assert macs(nodes, shapes) == 4 * 3 * 16 * 75 + 4 * 3 * 16 * 9 + 1920


def test_a_real_network_is_taken_whole():
    details, shapes = Scorer(network()).describe()
    nodes = operations(details)
    found = delegation(nodes)
    assert found.operations > 0
    assert found.partitions == 1
    assert found.left == ()
    assert macs(nodes, shapes) > 0


def test_what_xnnpack_refuses_of_a_real_network_is_named():
    # XNNPACK has no average pooling for int8; a change here is good news for such networks.
    details, _ = Scorer(network(variant="int8")).describe()
    found = delegation(operations(details))
    assert found.left == ("AVERAGE_POOL_2D",)
    assert found.delegated == found.operations - 1
