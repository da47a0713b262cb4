"""Records: one for what is asked, one for what became of it, and neither can be changed."""

from dataclasses import FrozenInstanceError, fields

import pytest

from heredity.evolution.trial import ENDED, Proposal, Trial

TRIAL = Trial(id=3, seed=1, member=0, turn=2, hparams={"lr": 0.1}, start=20, stop=25)


def test_records_are_immutable():
    for name in ("score", "checkpoint", "hparams", "weights_from"):
        with pytest.raises(FrozenInstanceError):
            setattr(TRIAL, name, None)


def test_a_trial_is_its_proposal_and_more():
    assert {f.name for f in fields(Proposal)} < {f.name for f in fields(Trial)}
    assert TRIAL.steps == 5
    assert (TRIAL.status, TRIAL.score, TRIAL.attempt) == ("proposed", None, 0)


def test_what_ended_is_charged():
    assert set(ENDED) == {"finished", "diverged", "stopped"}
