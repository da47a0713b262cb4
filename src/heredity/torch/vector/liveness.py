"""Which hparams the outcome depends on, by following the data through the traced operations.

An hparam that is only read, or whose value never reaches the state or the score, would be sampled,
mutated and credited with scores it had no part in.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor
from torch.fx import Graph, Node
from torch.fx.experimental.proxy_tensor import make_fx

Outcome = Callable[..., list[Tensor]]
"""Hparams' columns, in order → all tensors that count."""

FORM_ONLY = ("zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones",
             "new_empty", "new_full")  # fmt: skip
"""Operations that take from a tensor its shape and type, but not its values."""


def dead(outcome: Outcome, columns: Mapping[str, Tensor]) -> list[str]:
    """The hparams that no tensor of the outcome depends on."""
    graph: Graph = make_fx(outcome)(*columns.values()).graph
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    live = _reaching(graph)
    return [name for name, node in zip(columns, placeholders, strict=True) if node not in live]


def _reaching(graph: Graph) -> set[Node]:
    """The memory, by the node it was first seen at, whose values reach the output."""
    memory = _memories(graph)
    sources: dict[Node, set[Node]] = defaultdict(set)
    for node in graph.nodes:
        if not _is_form_only(node):
            sources[memory[node]].update(memory[source] for source in node.all_input_nodes)
    live: set[Node] = set()
    found = {node for node in graph.nodes if node.op == "output"}
    while found:
        live |= found
        found = set().union(*(sources[node] for node in found)) - live
    return live


def _memories(graph: Graph) -> dict[Node, Node]:
    """Each node, and the first one of the same memory: of views, and of changes in place."""
    memory: dict[Node, Node] = {}
    for node in graph.nodes:
        shared = _shared(node)
        memory[node] = node if shared is None else memory[shared]
    return memory


def _shared(node: Node) -> Node | None:
    """The argument whose memory a node's result has."""
    if not node.args or not isinstance(node.args[0], Node):
        return None
    if node.target is operator.getitem:
        return node.args[0]
    schema: Any = getattr(node.target, "_schema", None)
    is_alias = schema is not None and any(value.alias_info for value in schema.returns)
    return node.args[0] if is_alias else None


def _is_form_only(node: Node) -> bool:
    target: Any = node.target
    return node.op == "call_function" and getattr(target, "__name__", "").startswith(FORM_ONLY)
