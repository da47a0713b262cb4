"""Loggers: a study's members as runs of TensorBoard, MLflow or Weights & Biases.

    from heredity.integrations import tensorboard
    study.run(on_event=tensorboard.Logger(study))

Each logger is a file of its own and imports its library when one is made. They share one reading of
events (`story`) and one way of writing in the background (`base`).
"""

from __future__ import annotations

from collections.abc import Callable

from heredity.evolution.events import Event


def together(*listeners: Callable[[Event], None]) -> Callable[[Event], None]:
    """One listener for `study.run(on_event=…)` that tells several, in this order.

    >>> seen = []
    >>> together(seen.append, print)("an event")
    an event
    >>> seen
    ['an event']
    """

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return tell
