"""One name, one process."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

import heredity as hd
from heredity.claim import claim

HOLDS = """
import sys
from pathlib import Path
from heredity.claim import claim
claimed = claim(Path(sys.argv[1]), "w")
print("claimed", flush=True)
sys.stdin.read()
"""


def test_a_name_is_one_processs_until_it_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "claimed\n"
        with pytest.raises(hd.UsageError, match=rf'pid {other.pid} .*worker="another name"'):
            claim(tmp_path, "w")
        assert claim(tmp_path, "w/2")
        other.kill()
    assert claim(tmp_path, "w")


def test_within_one_process_it_can_be_claimed_again(tmp_path: Path) -> None:
    """As by a cell of a notebook that is run twice."""
    first = claim(tmp_path, "w")
    assert claim(tmp_path, "w") is first
    del first
    gc.collect()
    assert list(tmp_path.iterdir()) == [], "it leaves nothing behind"
