"""Which hparams the outcome depends on, by following the data through the traced operations.

An hparam that is only read, or whose value never reaches the state or the score, would be sampled,
mutated and credited with scores it had no part in.
"""

from __future__ import annotations

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
    """The nodes whose values reach the output."""
    live: set[Node] = set()
    for node in reversed(graph.nodes):
        if node.op == "output" or node in live:
            live.update(() if _is_form_only(node) else node.all_input_nodes)
    return live


def _is_form_only(node: Node) -> bool:
    target: Any = node.target
    return node.op == "call_function" and getattr(target, "__name__", "").startswith(FORM_ONLY)
