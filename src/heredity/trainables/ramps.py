"""Whether a trainable can move its hparams gradually while it trains, as `PBT(ramp=…)` asks.

A class can: `configure` is called at every point. A function can if it asks for
`session.hparams_at(step)`; a command gets its hparams once. Vector trainables see to it themselves.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

from heredity.errors import UsageError
from heredity.trainables.command import Command


def require_ramps(trainable: Any, kind: str) -> None:
    """Raise `UsageError` for one that cannot, before a study learns so from its first exploit."""
    if isinstance(trainable, Command):
        raise UsageError(
            "ramp is not 0, but a command gets its hparams when it starts and cannot move them "
            "gradually: set ramp=0"
        )
    if kind == "function" and not _may_ask(trainable):
        raise UsageError(
            f"ramp is not 0, but {trainable.__name__}(session) never calls "
            f"session.hparams_at(step): train with what it returns at each step, or set ramp=0"
        )


def _may_ask(function: Callable[..., Any]) -> bool:
    """Whether a function calls `hparams_at`, or might: it hands its session on, or is no text."""
    import ast  # slow to import, and few studies ramp

    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
        session = next(iter(inspect.signature(function).parameters))
    except (OSError, TypeError, ValueError, SyntaxError, StopIteration):
        return True
    asked = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    if any(node.attr == "hparams_at" for node in asked):
        return True
    plain = {id(node.value) for node in asked}
    names = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
    return any(name.id == session and id(name) not in plain for name in names)
