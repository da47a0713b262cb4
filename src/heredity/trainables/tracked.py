"""Hparams as user code sees them: read-only, and remembering which were read.

A declared hparam that nothing reads is a silent no-op in most systems: it is sampled, mutated and
credited with scores it had no part in. This file only keeps the books; who asks for them decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from heredity.errors import HparamsError, did_you_mean


class UnknownHparam(HparamsError, KeyError):
    """User code asked for an hparam that the space does not declare."""

    def __str__(self) -> str:  # KeyError would show the message's repr
        return str(self.args[0])


class TrackedHparams(Mapping[str, Any]):
    """A read-only mapping of hparams; `consumed` holds the names whose values were read.

    Reading is `[name]`, `get`, `items()`, `values()`, `dict(…)` and `**`. Asking whether a name is
    there, its keys, its text and comparisons are not.

    >>> hparams = TrackedHparams({"lr": 0.1, "momentum": 0.9})
    >>> hparams["lr"], "momentum" in hparams, sorted(hparams.consumed)
    (0.1, True, ['lr'])
    """

    __slots__ = ("_values", "consumed")

    def __init__(self, values: Mapping[str, Any], consumed: set[str] | None = None) -> None:
        self._values = dict(values.peek() if isinstance(values, TrackedHparams) else values)
        self.consumed: set[str] = set() if consumed is None else consumed

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            raise UnknownHparam(f"no hparam `{name}`.{did_you_mean(name, self._values)}")
        self.consumed.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __eq__(self, other: object) -> bool:
        return self._values == (other.peek() if isinstance(other, TrackedHparams) else other)

    __hash__ = None  # type: ignore[assignment]  # as every mapping that compares by value

    def __repr__(self) -> str:
        return repr(self._values)

    def peek(self) -> dict[str, Any]:
        """The values, without counting them as read."""
        return dict(self._values)
