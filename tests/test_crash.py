"""A crash point kills the process at the visit that the environment names, and at no other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import heredity
from heredity.crash import POINTS

PASS_BY = """
from heredity.crash import crash_point
for visit in (1, 2, 3):
    print(visit, flush=True)
    crash_point("launch.before")
    crash_point("launch.after")
"""


@pytest.mark.parametrize(
    ("armed", "seen"),
    [
        ("", 3),
        ("launch.after", 1),
        ("launch.before:1", 1),
        ("launch.before:3", 3),
        ("launch.before:4", 3),
        ("append.before:1", 3),
    ],
)
def test_the_named_visit_is_the_last_thing(armed: str, seen: int) -> None:
    environment = {**os.environ, "HEREDITY_CRASH_AT": armed}
    done = subprocess.run(
        [sys.executable, "-c", PASS_BY], env=environment, capture_output=True, text=True
    )
    assert done.stdout.split() == ["1", "2", "3"][:seen]
    dies = armed not in ("", "launch.before:4", "append.before:1")
    assert done.returncode == (-9 if dies else 0)


def test_every_point_is_passed_somewhere_and_every_point_passed_is_listed() -> None:
    package = Path(heredity.__file__).parent
    sources = [p.read_text() for p in package.rglob("*.py") if p.name != "crash.py"]
    for point in POINTS:
        assert any(f'crash_point("{point}")' in source for source in sources), point
    passed = {part.split('"')[0] for s in sources for part in s.split('crash_point("')[1:]}
    assert passed == set(POINTS)
