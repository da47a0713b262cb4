"""The toy of the paper's figure 2: its four panels end where they are known to."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "examples" / "toy_figure2.py"


def test_the_four_panels(tmp_path: Path) -> None:
    scores = runpy.run_path(str(PATH))["main"](storage=tmp_path)
    assert scores["grid-search"] == pytest.approx(0.390, abs=0.001)
    assert scores["exploit-only"] == pytest.approx(1.17, abs=0.005)
    assert scores["explore-only"] > 0.5
    assert scores["pbt"] > 1.15
