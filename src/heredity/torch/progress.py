"""Progress apart from configuration: what checkpoints of optimizers and schedulers rest on.

`setup` builds optimizers and schedulers for the trial's own hparams: that is configuration. What
training then changes (a counter, a decayed rate) is progress. Only progress is saved, and loading
puts it on top of a fresh configuration, so an inherited state can never bring old hparams back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

NESTED = "_schedulers"
"""Where SequentialLR and ChainedScheduler hold the schedulers they are made of."""


def snapshot(value: Any) -> Any:
    """A copy of nested dicts, lists and tensors, sharing what training does not change in place."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, dict):
        return {key: snapshot(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(snapshot(item) for item in value)
    return value


def progress(state: Mapping[str, Any], configured: Mapping[str, Any]) -> dict[str, Any]:
    """What of `state` is not as it was configured."""
    changed = {
        key: value
        for key, value in state.items()
        if key != NESTED and not (key in configured and same(value, configured[key]))
    }
    if NESTED in state:
        pairs = zip(state[NESTED], configured[NESTED], strict=True)
        changed[NESTED] = [progress(*pair) for pair in pairs]
    return changed


def advanced(configured: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """`configured`, moved on by what `progress` found."""
    state = {**configured, **changed}
    if NESTED in changed:
        pairs = zip(configured[NESTED], changed[NESTED], strict=True)
        state[NESTED] = [advanced(*pair) for pair in pairs]
    return state


def same(left: Any, right: Any) -> bool:
    """Equality that understands nested tensors and counts NaN equal to itself."""
    if isinstance(left, torch.Tensor) or isinstance(right, torch.Tensor):
        return _same_tensor(left, right)
    if isinstance(left, dict) and isinstance(right, dict):  # of any kind: snapshots are plain
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if type(left) is not type(right):
        return bool(left == right)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right or (left != left and right != right))


def _same_tensor(left: Any, right: Any) -> bool:
    if not (isinstance(left, torch.Tensor) and isinstance(right, torch.Tensor)):
        return False
    return left.shape == right.shape and bool(
        ((left == right) | ((left != left) & (right != right))).all()
    )
