"""What the documentation tells who writes a worker in another language does what it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

from served import begin, served

import heredity as hd
from heredity.evolution.population import Population
from toys import events_of

DOCS = Path(__file__).parents[2] / "docs" / "service.md"


def test_the_example_saves_and_reports_a_trial(tmp_path: Path) -> None:
    [example] = re.findall(r"```bash\n(.*?)```", DOCS.read_text(), re.DOTALL)
    begin(
        tmp_path / "runs",
        name="digits",
        objective=hd.maximize("accuracy"),
        interval=100,
        budget=hd.Steps(200),
    )
    with served(tmp_path / "runs") as service:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", example],
            cwd=tmp_path,
            env={**os.environ, "URL": service.url, "no_proxy": "*"},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith('{"outcome":"recorded"}')
    assert (tmp_path / "restored" / "deep" / "model.bin").read_text() == "weights\n"
    trial = Population.fold(events_of(tmp_path / "runs", "digits")).trial(0)
    assert (trial.status, trial.reached, trial.score) == ("finished", 100, 0.91)
    assert trial.checkpoint is not None
    manifest = tmp_path / "runs" / "digits" / "checkpoints" / "0-0" / "manifest.json"
    assert list(json.loads(manifest.read_text())["files"]) == ["deep/model.bin"]
