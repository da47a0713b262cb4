"""The Trainable for PyTorch: saving, loading and hparams done, so users write how to train.

A member's state is what `setup` made: every attribute with a `state_dict`, and plain numbers, texts
and flags that training changed since. What `prepare` made (data, frozen models) is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from heredity.errors import TrainingError
from heredity.torch import schedulers as schedules
from heredity.torch.optimizers import Tuned
from heredity.torch.progress import same
from heredity.torch.state import read_state, write_state
from heredity.trainables.session import same_value
from heredity.trainables.trainable import Trainable as BaseTrainable

STATE_FILE = "state.safetensors"


class Trainable(BaseTrainable):
    """A member made of PyTorch modules and optimizers: write `setup`, `train` and `evaluate`.

    - Every attribute that `setup` makes is saved and loaded if it has a `state_dict` (also in lists
      and dicts); so are numbers, texts and flags that training changes.
    - Modules are in `train()` mode while training, in `eval()` mode and without gradients while
      evaluating.
    - Optimizer settings and schedules always come from `setup`, with the trial's own hparams; a
      load brings back only what training changed. An hparam with the name of an optimizer setting
      (lr, momentum, weight_decay, beta1, …) that `setup` does not read is set by that name.
    - The learning rate is read back after `configure` and after `train`.

    Put modules and data on `self.device`.
    """

    _prepared: Mapping[str, Any] | None = None
    _parts: Mapping[str, Any] = {}
    _scalars: Mapping[str, Any] = {}
    _tuned: Mapping[str, Tuned] = {}
    _schedules: Mapping[str, Mapping[str, Any]] = {}
    _applied: Mapping[str, Any] = {}

    # Hooks around the user's methods ---------------------------------------------------

    @contextmanager
    def building(self) -> Iterator[None]:
        """Around `setup`: find the member's parts and what they were configured with."""
        if self._prepared is None:
            self._prepared = dict(vars(self))
        yield
        made = self._made()
        self._parts = dict(_stateful(made))
        self._scalars = {name: value for name, value in made.items() if _is_scalar(value)}
        self._check_schedulers()
        self._tuned = {
            name: Tuned(part, self._driving(part))
            for name, part in self._parts.items()
            if isinstance(part, Optimizer)
        }
        if "lr" in self.session.hparams:
            for name, tuned in self._tuned.items():
                tuned.check_tunable(name)
        self._adopt_unread()
        self._schedules = {
            name: schedules.configuration(part) for name, part in self._schedulers().items()
        }

    def _made(self) -> dict[str, Any]:
        """The member's attributes: not ours, and not those that `prepare` left."""
        before = self._prepared or {}
        return {
            name: value
            for name, value in vars(self).items()
            if name not in _RESERVED and before.get(name, _NOTHING) is not value
        }

    @contextmanager
    def training(self) -> Iterator[None]:
        """Around `train`: modules in training mode."""
        self._mode(training=True)
        yield
        for tuned in self._tuned.values():
            tuned.trained()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Around `evaluate`: modules in evaluation mode, no gradients."""
        self._mode(training=False)
        with torch.no_grad():
            yield

    def _mode(self, *, training: bool) -> None:
        for part in self._parts.values():
            if isinstance(part, torch.nn.Module):
                part.train(training)

    # Hparams ---------------------------------------------------------------------------

    def configure(self, hparams: Mapping[str, Any]) -> None:
        """Set hparams in the optimizers that have settings of their names."""
        for name, old in self._applied.items():
            if hparams[name] != old:
                for tuned in self._with(name):
                    tuned.move(name, old, hparams[name])
        self._applied = {name: hparams[name] for name in self._applied}

    def in_force(self) -> Mapping[str, Any]:
        """The optimizer hparams in force, as far as they can be told."""
        seen = {}
        for name, hparam in self._applied.items():
            values = [tuned.in_force(name, hparam) for tuned in self._with(name)]
            told = [value for value in values if value is not None]
            if told:
                wrong = [value for value in told if not same_value(value, hparam)]
                seen[name] = (wrong or told)[0]
        return seen

    def _adopt_unread(self) -> None:
        """Set the hparams of optimizer settings that `setup` did not read."""
        hparams = self.session.hparams
        values = hparams.peek()
        self._applied = {name: value for name, value in values.items() if self._with(name)}
        for name in self._applied.keys() - hparams.consumed:
            for tuned in self._with(name):
                tuned.adopt(name, values[name])
            hparams.consumed.add(name)

    def _with(self, name: str) -> list[Tuned]:
        return [tuned for tuned in self._tuned.values() if tuned.has(name)]

    # Schedulers ------------------------------------------------------------------------

    def _schedulers(self) -> dict[str, LRScheduler]:
        return {name: part for name, part in self._parts.items() if isinstance(part, LRScheduler)}

    def _check_schedulers(self) -> None:
        for name, scheduler in self._schedulers().items():
            schedules.check_supported(scheduler, name, self.session.hparams)

    def _driving(self, optimizer: Optimizer) -> list[LRScheduler]:
        return [part for part in self._schedulers().values() if part.optimizer is optimizer]

    # Checkpoints -----------------------------------------------------------------------

    def save(self, directory: Path) -> None:
        """Write the member's state to one file, `state.safetensors`."""
        self._check_parts()
        parts = {name: self._saved(name, part) for name, part in self._parts.items()}
        scalars = {
            name: value
            for name, value in self._made().items()
            if _is_scalar(value) and not same(value, self._scalars.get(name, _NOTHING))
        }
        write_state(directory / STATE_FILE, {"parts": parts, "scalars": scalars})

    def _check_parts(self) -> None:
        """Raise if training made or replaced a part, which `load` could then not find."""
        for name, part in _stateful(self._made()):
            if self._parts.get(name) is not part:
                raise TrainingError(
                    f"self.{name} has a state to save, but it was made or replaced after setup(): "
                    "make it in setup(), or in prepare() if it is not part of the member"
                )

    def _saved(self, name: str, part: Any) -> Any:
        if name in self._tuned:
            return self._tuned[name].saved()
        if name in self._schedules:
            return schedules.saved(part, self._schedules[name])
        return part.state_dict()

    def load(self, directory: Path) -> None:
        """Read what `save` wrote. Never runs code: only tensors and plain values are accepted."""
        state = read_state(directory / STATE_FILE, self.device)
        parts = state["parts"]
        if parts.keys() != self._parts.keys():
            raise TrainingError(
                f"the checkpoint holds {_listed(parts)}, but setup() made {_listed(self._parts)}: "
                "it must make the same attributes for all hparams"
            )
        for name in sorted(parts, key=lambda name: name in self._schedules):
            self._load(name, parts[name])
        for name, value in state["scalars"].items():
            setattr(self, name, value)

    def same_state(self, one: Path, other: Path) -> bool:
        """Whether two saved folders hold the same values: equal ones may differ in their bytes."""
        files = [folder / STATE_FILE for folder in (one, other)]
        if not all(file.is_file() for file in files):  # a subclass saves in its own way
            return super().same_state(one, other)
        return same(*(read_state(file, self.device) for file in files))

    def _load(self, name: str, state: Any) -> None:
        """Load one part; schedulers come after the optimizers that they drive."""
        if name in self._tuned:
            self._tuned[name].load(state)
        elif name in self._schedules:
            schedules.load(self._parts[name], state)
        else:
            self._parts[name].load_state_dict(state)


_NOTHING = object()
_RESERVED = frozenset(
    {
        "session", "hparams", "device",
        "_prepared", "_parts", "_scalars", "_tuned", "_schedules", "_applied",
    }
)  # fmt: skip


def _stateful(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Everything with a `state_dict`, also in lists, tuples and dicts, by dotted name."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _stateful(
                {str(key): item for key, item in value.items()}, f"{prefix}{name}."
            )
        elif isinstance(value, list | tuple):
            items = {str(number): item for number, item in enumerate(value)}
            yield from _stateful(items, f"{prefix}{name}.")
        elif hasattr(value, "state_dict") and hasattr(value, "load_state_dict"):
            yield f"{prefix}{name}", value


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(f"self.{name}" for name in names) or "nothing"
