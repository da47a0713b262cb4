"""Study files for tests: a good one, values as TOML writes them, and what a refusal says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from heredity.errors import UsageError
from heredity.study_files import load
from heredity.study_files.kinds import KINDS, NONE, fields_of

GOOD = """\
# A comment.
name = "digits"
objective = "maximize accuracy"
population = 6
interval = 50
seed = 3
keep = "lineage"
finalists = 2
initial = [{ lr = 0.1 }, { width = 2, lr = 0.01 }]

[space]
lr = { type = "LogUniform", low = 1e-4, high = 1.0, bounds = [1e-6, 1.0] }
width = { type = "Integer", low = 1, high = 4, move = { type = "Keep" } }

[space.batch]
type = "Ordinal"
choices = [
  32,  # small
  64,
]
move = { type = "Neighbour", steps = 2 }

[budget]
steps = 1_000
seconds = 60.5

[algorithm]
type = "PBT"
exploit = { type = "Truncation", fraction = 0.25 }
explore = "none"
mode = "sync"

[executor]
type = "Processes"
workers = 2

[command]
command = "train --lr {lr} --w {width} --b {batch} --out {save} [--from {restore}]"
metrics.accuracy = 'accuracy ([0-9.]+)'
"""

SMALL = """\
name = "small"
objective = "minimize loss"
interval = 10
[space]
lr = { type = "LogUniform", low = 1e-4, high = 1.0 }
[budget]
steps = 100
[command]
command = "train {lr} {save} [{restore}]"
metrics.loss = 'loss ([0-9.]+)'
"""
"""No more than a study file needs."""


def refused(folder: Path, text: str) -> str:
    """What is said of a file with this text."""
    with pytest.raises(UsageError) as caught:
        load(written(folder, text))
    return str(caught.value).replace(f"{folder / 'study.toml'}, ", "")


def written(folder: Path, text: str) -> Path:
    """A file with this text."""
    path = folder / "study.toml"
    path.write_text(text)
    return path


def toml(value: Any) -> str:
    """A value that describes itself as JSON, in the words of study files."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {toml(inner)}' for key, inner in _fields(value))} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value) if isinstance(value, str | bool) else repr(value)


def _fields(described: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """What TOML can say of it: no null, and classes by their names alone."""
    name = described["type"].rpartition(":")[2]
    known = fields_of(KINDS[name])
    given = {key: NONE if value is None else value for key, value in described.items()}
    fields = [(k, v) for k, v in given.items() if k in known and (v != NONE or known[k].nullable)]
    return [("type", name), *fields]
