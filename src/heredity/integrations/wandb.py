"""Weights & Biases: one run a member, and one for the study, in a group.

A point's row has the trial's number as its internal step, which only grows; charts use the lineage
step. So an online run that is resumed says how far it tells; offline, where nobody can be asked, a
small file beside the runs does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, final

from heredity.integrations.base import Logger as Base
from heredity.integrations.base import require
from heredity.integrations.story import Point, Summary
from heredity.result import Result
from heredity.study import Study


@final
class Logger(Base):
    """Writes Weights & Biases runs: `study.run(on_event=wandb.Logger(study, project="digits"))`.

    Each member is a run `member-3` of the study's group, with a row a trial: the values of `Point`,
    "step", the lineage step that charts are drawn over, and notes and choices as text. Open runs
    take about 0.15 s each to begin, which a study does not wait for.

    Args:
        study: the study, or a result of `heredity.open`.
        project: the project; by default the study's name.
        entity: the user or team; by default your own.
        group: what the runs are grouped by, and their ids begin with; by default the study's name.
        folder: where `wandb/` is made; by default what W&B is set to (`WANDB_DIR`, or here).
        mode: "online", "offline" or "disabled"; by default what W&B is set to (`WANDB_MODE`).
    """

    def __init__(
        self,
        study: Study | Result,
        project: str | None = None,
        *,
        entity: str | None = None,
        group: str | None = None,
        folder: str | Path | None = None,
        mode: Literal["online", "offline", "disabled"] | None = None,
    ) -> None:
        super().__init__(study)
        self.project = project or self.name
        self.entity = entity
        self.group = group or self.name
        self.folder = folder
        self.mode = mode
        self._wandb = require("wandb", "wandb")
        self._runs: dict[int, Any] = {}

    def _begin(self, member: int) -> int:
        note = self._note(member)
        return int(note.read_text()) if note.exists() else int(self._run(member).starting_step) - 1

    def _write(self, member: int, points: Sequence[Point]) -> None:
        run = self._run(member)
        for point in points:
            choices = {f"choices/{name}": choice for name, choice in point.choices.items()}
            notes = {f"notes/{kind}": note for kind, note in point.notes.items()}
            if point.trial >= run.starting_step:  # else it is there, and the note was lost
                run.log({"step": point.step, **point.values, **choices, **notes}, step=point.trial)
        self._note(member).write_text(str(points[-1].trial))

    def _summarise(self, study: Summary) -> None:
        run = self._init("study", "study", study.facts)
        run.summary.update({**study.values, **study.texts})
        run.finish()

    def _finish(self) -> None:
        for run in self._runs.values():
            run.finish()
        self._runs.clear()

    def _place(self) -> str:
        return f"group {self.group!r} of project {self.project!r} (see {self._note(0).parent})"

    def _run(self, member: int) -> Any:
        if member not in self._runs:
            run = self._init(f"member-{member}", "member", {"member": member, "study": self.name})
            run.define_metric("step")
            run.define_metric("*", step_metric="step")
            self._runs[member] = run
        return self._runs[member]

    def _note(self, member: int) -> Path:
        """The file that says how far a run tells, beside the folders of its sessions."""
        if self.folder is None:
            sessions = self._wandb.setup().settings.wandb_dir
        else:
            sessions = self._wandb.Settings(root_dir=str(self.folder)).wandb_dir
        return Path(sessions) / f"heredity-{self.project}-{self.group}-member-{member}.txt"

    def _init(self, name: str, kind: str, config: Mapping[str, Any]) -> Any:
        # A run of its own beside any that the user has, which neither measures the machine nor
        # captures what is printed: a hundred of them would.
        settings = self._wandb.Settings(
            silent=True, console="off", x_disable_stats=True, x_disable_meta=True
        )
        return self._wandb.init(
            project=self.project,
            entity=self.entity,
            group=self.group,
            job_type=kind,
            id=f"{self.group}-{name}",
            name=name,
            config={**config},
            dir=self.folder,
            mode=self.mode,
            resume="allow",
            reinit="create_new",
            settings=settings,
        )
