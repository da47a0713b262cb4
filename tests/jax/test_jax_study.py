"""A study of a population in one program is the study of its members in trials of their own."""

from pathlib import Path
from typing import Any

import numpy as np
from populations import DESCENT, SPACE

import heredity as hd


def run(folder: Path, executor: Any) -> Any:
    study = hd.Study(
        DESCENT,
        SPACE,
        objective=hd.maximize("score"),
        population=6,
        interval=3,
        budget=hd.Steps(12),
        algorithm=hd.PBT(mode="sync"),
        name="descent",
        storage=folder,
        seed=1,
    )
    return study.run(executor, live="off")


def decisions(result: Any) -> dict[Any, Any]:
    """What was decided to train, by member and turn, which also name the donors."""
    trials = [trial for trial in result.trials if trial.kind == "train"]
    name = {None: None} | {trial.id: (trial.member, trial.turn) for trial in trials}
    return {name[t.id]: (name[t.weights_from], t.start, t.stop, dict(t.hparams)) for t in trials}


def test_vectorized_and_inline_take_the_same_decisions(tmp_path: Path) -> None:
    together = run(tmp_path / "together", hd.Vectorized())
    alone = run(tmp_path / "alone", hd.Inline())
    assert decisions(together) == decisions(alone)
    assert len(decisions(together)) == 24
    assert any(d[0] not in (None, (n[0], n[1] - 1)) for n, d in decisions(together).items())
    np.testing.assert_allclose(together.best.score, alone.best.score, rtol=1e-5)
    loaded, single = together.best.load(), alone.best.load().state
    np.testing.assert_allclose(loaded["w"], single["w"], rtol=1e-5)
    assert loaded["steps"] == single["steps"]
