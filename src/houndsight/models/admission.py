"""Looks through a network that came from outside, before ONNX Runtime is given it.

ONNX Runtime runs only operators that it has, and they compute. But it reads weights that a network
says lie in other files, wherever it is told to; and a small file can be a computation without end.
How much time and memory the operators take that remain cannot be told from the file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from houndsight.errors import ModelError

__all__ = ["admitted", "has_other_files"]

# They repeat a part of the network as often as a number in it says.
_REPEATING: Final = frozenset({"Loop", "BeamSearch", "GreedySearch", "Sampling"})
_REPEATING_DOMAINS: Final = frozenset({"", "com.microsoft"})
# Of one network, its functions written out. The largest that sees photos have some ten thousand.
_MOST_NODES: Final = 200_000
_MAX_DEPTH: Final = 50
_EXTERNAL: Final = 1  # onnx.TensorProto.EXTERNAL


def admitted(network: bytes) -> bytes:
    """Return the bytes of a network, if nothing in it reads a file or has no end.

    Raises
    ------
    ModelError
        It has weights in other files, an operator that repeats, or functions that grow beyond
        measure when they are written out; or it is no network.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(network)
    except (DecodeError, ValueError) as error:
        raise ModelError("is no ONNX file, or damaged") from error
    if has_other_files(model):
        raise ModelError(
            "has weights in another file, which may lie anywhere",
            remedy="Save it as one file, with all its weights",
        )
    functions: dict[tuple[str, str], list[Any]] = {}
    for one in model.functions:  # of one name there may be several, for other types
        functions.setdefault((_domain(one), one.name), []).extend(one.node)
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Iterable[Any], depth: int) -> int:
        """Return how many nodes these are, functions written out."""
        if depth > _MAX_DEPTH:
            raise ModelError("has functions that call each other without end")
        total = 0
        for node in nodes:
            name = (_domain(node), node.op_type)
            if name[1] in _REPEATING and name[0] in _REPEATING_DOMAINS:
                raise ModelError(
                    f"has the operator {node.op_type}, which may go on for ever",
                    remedy="Export the part of the network that takes photos, without loops",
                )
            if name in functions and name not in sizes:
                sizes[name] = size(functions[name], depth + 1)
            total += 1 + sizes.get(name, 0)
            total += sum(size(graph.node, depth + 1) for graph in _within(node))
        if total > _MOST_NODES:
            raise ModelError(f"is a network of more than {_MOST_NODES:,} operators")
        return total

    size(model.graph.node, 0)
    for nodes in functions.values():  # what no node calls is looked through as well
        size(nodes, 0)
    return network


def has_other_files(model: Any) -> bool:
    """Return whether a network, as `onnx` has it, says that some of it lies in other files."""
    tensors = [*_of_graph(model.graph)]
    for function in model.functions:
        tensors.extend(_of_nodes(function.node))
        tensors.extend(_of_attributes(function.attribute_proto))
    return any(one.data_location == _EXTERNAL or one.external_data for one in tensors)


def _domain(named: Any) -> str:
    """Return the domain of a node or function; that of ONNX itself has two names."""
    return "" if named.domain == "ai.onnx" else str(named.domain)


def _within(node: Any) -> Iterator[Any]:
    """Yield the graphs that a node has."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _of_graph(graph: Any) -> Iterator[Any]:
    """Yield the tensors that a graph holds, those of its nodes too."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _of_nodes(graph.node)


def _of_nodes(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        yield from _of_attributes(node.attribute)
        for graph in _within(node):
            yield from _of_graph(graph)


def _of_attributes(attributes: Iterable[Any]) -> Iterator[Any]:
    for attribute in attributes:
        yield from (attribute.t, *attribute.tensors)
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            yield from (sparse.values, sparse.indices)
