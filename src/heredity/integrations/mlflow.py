"""MLflow: one run a member, as children of the study's run.

MLflow refuses parameters that change, so hparams are metrics over steps; what is text is a tag. How
far a run tells is asked of its own metric "trial", the last of each point.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

from heredity.integrations.base import Logger as Base
from heredity.integrations.base import require
from heredity.integrations.story import Point, Summary
from heredity.result import Result
from heredity.study import Study

STUDY = -1
"""In place of a member's number: the study's own run."""

LONGEST_TAG = 5000
"""Characters that every MLflow server takes in a tag."""


@final
class Logger(Base):
    """Writes to an MLflow tracking server or database: `study.run(on_event=mlflow.Logger(study))`.

    The study's run has a child run `member-3` for each member, with the values of `Point` as
    metrics by lineage step. Tags hold choices (`hparams.activation`, the latest), and notes by
    trial (`exploit.17`). Runs are found again by the tags `heredity.study` and `heredity.member`.

    Args:
        study: the study, or a result of `heredity.open`.
        experiment: the name of the experiment, made if there is none; by default the study's name.
        tracking_uri: as MLflow's; by default what MLflow is set to (`MLFLOW_TRACKING_URI`).
    """

    def __init__(
        self,
        study: Study | Result,
        experiment: str | None = None,
        tracking_uri: str | None = None,
    ) -> None:
        super().__init__(study)
        self.experiment = experiment or self.name
        self._entities = require("mlflow.entities", "mlflow")
        client = require("mlflow.tracking", "mlflow").MlflowClient
        self._client = client(tracking_uri=tracking_uri)
        self._experiment_id = ""
        self._runs: dict[int, str] = {}

    def _begin(self, member: int) -> int:
        if not self._experiment_id:
            self._experiment_id = self._experiment()
            self._runs = self._known_runs()
        if member in self._runs:
            run = self._runs[member]
            self._client.update_run(run, status="RUNNING")
            told = self._client.get_metric_history(run, "trial")
            return max((int(metric.value) for metric in told), default=-1)
        self._runs[member] = self._new_run(member)
        return -1

    def _write(self, member: int, points: Sequence[Point]) -> None:
        now_ms = int(time.time() * 1000)
        metrics = [
            self._entities.Metric(metric_name(name), value, now_ms, point.step)
            for point in points
            for name, value in point.values.items()
        ]
        self._client.log_batch(self._runs[member], metrics, tags=self._tags(_tags(points)))

    def _summarise(self, study: Summary) -> None:
        run, now_ms = self._study_run(), int(time.time() * 1000)
        if not study.ended:
            self._client.update_run(run, status="RUNNING")
        metrics = [
            self._entities.Metric(metric_name(name), value, now_ms, study.trials)
            for name, value in study.values.items()
        ]
        texts = {**study.facts, **study.texts}
        tags = {name.replace("/", "."): text for name, text in texts.items()}
        self._client.log_batch(run, metrics, tags=self._tags(tags))

    def _finish(self) -> None:
        for run in self._runs.values():
            self._client.set_terminated(run)
        self._experiment_id = ""

    def _place(self) -> str:
        return f"experiment {self.experiment!r}"

    # ------------------------------------------------------------------ runs

    def _experiment(self) -> str:
        known = self._client.get_experiment_by_name(self.experiment)
        if known is not None:
            return str(known.experiment_id)
        return str(self._client.create_experiment(self.experiment))

    def _known_runs(self) -> dict[int, str]:
        """The study's runs by member."""
        runs: dict[int, str] = {}
        token = None
        while True:
            found = self._client.search_runs(
                [self._experiment_id], f"tags.`heredity.study` = '{self.name}'", page_token=token
            )
            runs |= {int(run.data.tags["heredity.member"]): run.info.run_id for run in found}
            token = found.token
            if not token:
                return runs

    def _new_run(self, member: int) -> str:
        tags = {"heredity.study": self.name, "heredity.member": str(member)}
        if member == STUDY:
            name = self.name
        else:
            name = f"member-{member}"
            tags["mlflow.parentRunId"] = self._study_run()
        run = self._client.create_run(self._experiment_id, tags=tags, run_name=name)
        return str(run.info.run_id)

    def _study_run(self) -> str:
        if STUDY not in self._runs:
            self._begin(STUDY)
        return self._runs[STUDY]

    def _tags(self, texts: Mapping[str, str]) -> list[Any]:
        return [self._entities.RunTag(_legal(k), v[:LONGEST_TAG]) for k, v in texts.items()]


def metric_name(name: str) -> str:
    """The name of a value as MLflow allows it: without empty parts, other signs as `_`.

    >>> metric_name("metrics/acc@1")
    'metrics/acc_1'
    """
    return "/".join(part for part in _legal(name).split("/") if part not in ("", ".", ".."))


def _legal(name: str) -> str:
    return re.sub(r"[^\w\-. /]", "_", name, flags=re.ASCII)


def _tags(points: Iterable[Point]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for point in points:
        tags |= {f"hparams.{name}": choice for name, choice in point.choices.items()}
        tags |= {f"{kind}.{point.trial}": note for kind, note in point.notes.items()}
    return tags
