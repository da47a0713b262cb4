"""The Command: any program, in any language, as a trainable; its description and what it must say.

A description is plain JSON, so that study files and services can carry it. What it promises is
checked here, before anything runs; how a program is run is `trial`'s affair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from heredity.errors import HparamsError, UsageError, did_you_mean
from heredity.trainables.command.numbers import Pattern
from heredity.trainables.command.template import (
    OWN,
    Template,
    as_text,
    literal,
    placeholders,
    require_known,
    template,
)

VARIABLE = "HEREDITY_TRIAL"
"""The environment variable that names a JSON file with all that a placeholder could say."""


@dataclass(frozen=True)
class Command:
    """Any program as a trainable: one run of it is one trial.

        hd.Command(
            "python train.py --lr {lr} --epochs {stop} --out {save} [--resume {restore}/last.pt]",
            metrics={"accuracy": r"val accuracy ([0-9.]+)"},
        )

    Placeholders are the hparams' names and {steps}, {start}, {stop}, {restore}, {save}, {seed},
    {member}, {trial}, {work} (an empty folder) and {python} (the one that runs heredity). A part in
    brackets with {restore} in it is left out when there is nothing to restore; what follows a | in
    it is used instead. `{{` is a brace. No shell is involved: what a value holds stays one word.

    A program ends well with exit code 0. SIGTERM asks it to end early: to save, and to exit with 0.

    Attributes:
        command: the template, a string or a list of words.
        evaluate: the template that measures the weights in {restore} without training, used for
            finalists, and after training if the command itself prints no score. Without it
            finalists are not measured again.
        metrics: where metrics are found. A mapping of names to regular expressions, matched with
            each line of the output: the last match counts, and its first group is the value. Or
            the path of a JSON file that the program writes, with placeholders, for example
            "{save}/metrics.json". By default the last line of standard output that is a JSON
            object with the score in it.
        step: a regular expression for the step that a line speaks of, counted as {start} and
            {stop} are: metrics with a step are shown while the trial runs. JSON has "step".
        reads_json: the program reads the file that the environment variable HEREDITY_TRIAL names,
            with "hparams", "restore", "save" and all other placeholders as JSON.
        seed_save_folder: {save} begins as a copy of what was saved before, for programs that
            resume from the folder they write to. The original cannot be altered.
        cwd: the folder to run in, with placeholders; relative to `home`. A `Path` is taken as it
            is, from the root.
        home: where the program lies: the folder to run in where `cwd` says no other. A machine that
            has no such folder uses the one that its heredity runs in, as all do by default.
        shell: give the string to /bin/sh, each value quoted as one word. Put no quotes around
            placeholders. {restore} is empty when there is nothing to restore.
        grace_s: seconds from SIGTERM, when a trial is to end early, to SIGKILL.

    Raises `UsageError` for a description that cannot work.
    """

    command: str | Sequence[str]
    evaluate: str | Sequence[str] | None = None
    metrics: Mapping[str, str] | str | None = None
    step: str | None = None
    reads_json: bool = False
    seed_save_folder: bool = False
    cwd: str | Path | None = None
    home: str | Path | None = None
    shell: bool = False
    grace_s: float = 30.0

    def __post_init__(self) -> None:
        for name in ("command", "evaluate"):
            if isinstance(words := getattr(self, name), list):
                object.__setattr__(self, name, tuple(words))
        if isinstance(self.metrics, Mapping):
            object.__setattr__(self, "metrics", dict(self.metrics))
        if isinstance(self.cwd, Path):
            object.__setattr__(self, "cwd", literal(str(self.cwd.absolute())))
        if isinstance(self.home, Path):
            object.__setattr__(self, "home", str(self.home.absolute()))
        _require_types(self)
        _ = self.training, self.measuring, self.patterns, self.step_pattern
        self._require_inheritance()
        self._require_own_metrics_file()

    # What it consists of ---------------------------------------------------------------

    @property
    def folder(self) -> str:
        """The template of the folder to run in, relative to `home`; empty for that itself."""
        return str(self.cwd or "")

    @property
    def training(self) -> Template:
        """The template of a trial."""
        return template(self.command, self.shell)

    @property
    def measuring(self) -> Template | None:
        """The template of an evaluation."""
        if self.evaluate is None:
            return None
        return template(self.evaluate, self.shell, restores=True)

    @property
    def patterns(self) -> tuple[Pattern, ...]:
        """The patterns of metrics."""
        if not isinstance(self.metrics, Mapping):
            return ()
        return tuple(Pattern(name, source) for name, source in self.metrics.items())

    @property
    def step_pattern(self) -> Pattern | None:
        """The pattern of the step."""
        return None if self.step is None else Pattern("step", self.step)

    @property
    def metrics_file(self) -> str | None:
        """The template of the path to the program's JSON file of metrics."""
        return self.metrics if isinstance(self.metrics, str) else None

    # Checks ----------------------------------------------------------------------------

    def check(self, hparams: Sequence[str], metric: str | None = None) -> None:
        """Raise `UsageError` unless every placeholder has a value, every hparam is used and, if
        `metric` names the score, there is a pattern for it."""
        for name in hparams:
            if name in OWN:
                raise HparamsError(
                    f"an hparam of a command cannot be named `{name}`: {{{name}}} is "
                    f"{OWN[name]}. Give the hparam another name"
                )
        for text in self._texts():
            require_known(placeholders(text), hparams, text)
        if metric is not None:
            self._require_pattern(metric)
        if not self.reads_json:
            self._require_used(hparams)

    def example(self, hparams: Mapping[str, Any], steps: int) -> str:
        """The command line of a first trial, for a person to read."""
        import shlex

        folders = {name: f"<{name}>" for name in ("save", "work")}
        numbers = {"steps": steps, "start": 0, "stop": steps, "seed": 0, "member": 0, "trial": 0}
        given = {**hparams, **numbers, **folders, "restore": None, "python": "python"}
        words = self.training.filled(given)
        return words[-1] if self.shell else shlex.join(map(as_text, words))

    def _texts(self) -> Iterator[str]:
        """Every text in which there may be placeholders."""
        for given in (self.command, self.evaluate, self.folder, self.metrics_file):
            yield from [given] if isinstance(given, str) else given or ()

    def _require_pattern(self, metric: str) -> None:
        if isinstance(self.metrics, Mapping) and metric not in self.metrics:
            raise UsageError(
                f"no pattern in metrics is for the score `{metric}`."
                f"{did_you_mean(metric, self.metrics)}"
            )

    def _require_used(self, hparams: Sequence[str]) -> None:
        first, later = (self.training.names(restoring) for restoring in (False, True))
        for name in hparams:
            if name in first and name in later:
                continue
            when = " when it restores" if name in first else " when it does not restore"
            raise HparamsError(
                f"the command does not use the hparam `{name}`{when * (name in first | later)}: "
                f"write {{{name}}} where the program takes it, set reads_json=True if the program "
                f"reads it from the file that ${VARIABLE} names, or take it out of the space"
            )

    def _require_inheritance(self) -> None:
        if self.reads_json:
            return
        measuring, where = self.measuring, set(placeholders(self.folder))
        used = self.training.names(restoring=True) | where
        if "save" not in used or "save" not in self.training.names(restoring=False) | where:
            raise UsageError("the command does not use {save}, so nothing could be inherited")
        if measuring is not None and "restore" not in measuring.names(restoring=True) | where:
            raise UsageError("evaluate does not use {restore}, the folder of what it is to measure")
        if "restore" not in used and not self.seed_save_folder:
            raise UsageError(
                "the command does not use {restore}, so nothing would be inherited: add for "
                "example [--resume {restore}], or set seed_save_folder=True if the program resumes "
                "from {save}"
            )

    def _require_own_metrics_file(self) -> None:
        """Trials that run side by side must not write to the same file."""
        if self.metrics_file is None:
            return
        names = {*placeholders(self.metrics_file), *placeholders(self.folder)}
        if not names & {"save", "work", "trial"}:
            raise UsageError(
                f"all trials would write to the same metrics file, {self.metrics_file!r}: give "
                '"{save}/…" or "{work}/…", or cwd="{work}"'
            )

    # Plain JSON ------------------------------------------------------------------------

    def as_json(self) -> dict[str, Any]:
        """What differs from the defaults, as JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        defaults = {field.name: field.default for field in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value != defaults[name]
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Command:
        """The command that described itself so. `UsageError` for names and values it has not."""
        known = [field.name for field in fields(cls)]
        for name in data:
            if name not in known:
                raise UsageError(f"a command has no `{name}`.{did_you_mean(name, known)}")
        required = [field.name for field in fields(cls) if field.default is MISSING]
        for name in required:
            if name not in data:
                raise UsageError(f"a command needs `{name}`")
        return cls(**data)


def _require_types(command: Command) -> None:
    expected: dict[str, tuple[type, ...]] = {
        "command": (str, tuple),
        "evaluate": (str, tuple, type(None)),
        "metrics": (str, dict, type(None)),
        "step": (str, type(None)),
        "reads_json": (bool,),
        "seed_save_folder": (bool,),
        "cwd": (str, type(None)),
        "home": (str, type(None)),
        "shell": (bool,),
        "grace_s": (int, float),
    }
    for name, types in expected.items():
        if not isinstance(value := getattr(command, name), types):
            names = " or ".join(_TYPE_NAMES[kind] for kind in types)
            raise UsageError(f"Command: {name} is {names}, not {value!r}")
    if command.metrics is not None and not command.metrics:
        raise UsageError("Command: metrics names no metric")
    if not command.grace_s >= 0:
        raise UsageError(f"Command: grace_s is a number from 0, not {command.grace_s!r}")


_TYPE_NAMES = {
    str: "a string",
    tuple: "a list of words",
    dict: "a mapping of names to patterns",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    type(None): "nothing",
}
