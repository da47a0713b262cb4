"""What user code returns or reports, made into plain floats; or an error that says what to return.

This file knows nothing of trials. Values that are not finite pass: they are results.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from heredity.errors import TrainingError, did_you_mean


def as_float(name: str, value: Any) -> float:
    """A number, or a NumPy, torch or JAX array of one element, as a float."""
    if isinstance(value, str | bytes) or value is None:
        raise TrainingError(f"metric `{name}` must be a number, not {value!r}")
    size = getattr(value, "size", 1)
    if callable(size):  # torch: a method that gives the shape
        size = value.numel()
    if size != 1:
        raise TrainingError(
            f"metric `{name}` must be one number, not an array of {size} elements: "
            "reduce it, for example with .mean()"
        )
    try:
        number = value.item() if hasattr(value, "item") else value
        if isinstance(number, bool):  # a comparison that was meant to be averaged, for example
            raise TypeError
        return float(number)
    except (TypeError, ValueError):
        raise TrainingError(
            f"metric `{name}` must be a number, not {type(value).__name__} ({value!r:.80})"
        ) from None


def as_metrics(returned: Any, metric: str) -> dict[str, float]:
    """What `evaluate()` returned, as metrics; a bare number is the objective's `metric`."""
    if returned is None:
        raise TrainingError(
            f"evaluate() returned None: return a number, or a mapping such as {{'{metric}': …}}"
        )
    if not isinstance(returned, Mapping):
        if isinstance(returned, list | tuple | set):
            raise TrainingError(
                f"evaluate() returned a {type(returned).__name__}: "
                f"return a number, or a mapping such as {{'{metric}': …}}"
            )
        return {metric: as_float(metric, returned)}
    return {str(name): as_float(str(name), value) for name, value in returned.items()}


def demand(metric: str, metrics: Mapping[str, float], source: str) -> None:
    """Raise unless the objective's `metric` is among `metrics`."""
    if metric not in metrics:
        raise TrainingError(
            f"{source} gave no metric `{metric}`, which is the objective."
            f"{did_you_mean(metric, metrics)}"
        )


def mean_of(measurements: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each metric's mean over several evaluations and, of more than one, `<metric>_std`.

    >>> mean_of([{"accuracy": 0.5}, {"accuracy": 0.7}])
    {'accuracy': 0.6, 'accuracy_std': 0.14142135623730948}
    """
    import statistics  # slow to import, and rarely needed

    means: dict[str, float] = {}
    for name in measurements[0] if measurements else ():
        values = [measured[name] for measured in measurements if name in measured]
        means[name] = math.fsum(values) / len(values) if _finite(values) else math.nan
        if len(values) > 1:
            means[f"{name}_std"] = statistics.stdev(values) if _finite(values) else math.nan
    return means if len(measurements) > 1 else dict(*measurements)


def _finite(values: Sequence[float]) -> bool:
    return all(map(math.isfinite, values))
