"""The mean of schedules: exact, in the parameters' encoding, aligned by step."""

from __future__ import annotations

import numpy as np
import pytest

import heredity as hd
from heredity.analysis.course import course
from heredity.analysis.schedule import Schedule, Segment

SPACE = hd.Space(lr=hd.LogUniform(1e-4, 1.0), act=hd.Categorical(["relu", "tanh"]))


def schedule(*pieces: tuple[int, float, str]) -> Schedule:
    """Of (stop, lr, act)."""
    start, segments = 0, []
    for stop, lr, act in pieces:
        segments.append(Segment(start, stop, {"lr": lr, "act": act}, 0, 0, None))
        start = stop
    return Schedule(tuple(segments))


A = schedule((10, 1.0, "relu"), (20, 1e-2, "tanh"))
B = schedule((20, 1e-2, "relu"))


def rates(mean) -> list[float]:
    return [hparams["lr"] for hparams in mean.hparams()]


def test_two_studies_are_averaged_by_the_logarithm():
    mean = course([A, B], SPACE, cells=2)
    assert mean.edges.tolist() == [0, 10, 20]
    assert rates(mean) == pytest.approx([1e-1, 1e-2])  # between 1 and 0.01, on a log scale
    # Codes 1 and 1/2, of which the standard deviation is 1/√8; then twice 1/2.
    assert mean.spread[:, 0] == pytest.approx([np.sqrt(1 / 8), 0.0])
    low, high = mean.band("lr")
    assert low[1] == high[1] == pytest.approx(1e-2)
    assert low[0] == pytest.approx(10 ** (-4 * (0.25 + np.sqrt(1 / 8))))
    assert high[0] == 1.0  # within the bounds


def test_of_categories_the_commonest_counts_and_the_spread_is_who_differs():
    mean = course([A, A, B], SPACE, cells=2)
    assert [h["act"] for h in mean.hparams()] == ["relu", "tanh"]
    assert mean.spread[:, 1] == pytest.approx([0.0, 1 / 3])
    with pytest.raises(hd.UsageError, match="act has no order"):
        mean.band("act")


def test_a_cell_that_lies_across_an_edge_takes_its_exact_mean():
    s = schedule((5, 1.0, "relu"), (20, 1e-4, "tanh"))  # codes 1 and 0
    mean = course([s], SPACE, cells=2)
    assert mean.mean[:, 0] == pytest.approx([0.5, 0.0])
    assert [h["act"] for h in course([s], SPACE, cells=1).hparams()] == ["tanh"]
    assert course([s], SPACE, cells=1).mean[0, 0] == pytest.approx(0.25)


def test_smoothing_takes_the_mean_over_a_window():
    s = schedule((10, 1e-4, "relu"), (20, 1.0, "relu"))  # codes 0 and 1
    smooth = course([s], SPACE, cells=20, window=8).mean[:, 0]
    middle = np.arange(20) + 0.5
    assert smooth == pytest.approx(np.clip((middle - 10) / 8 + 0.5, 0, 1))
    rough = course([s], SPACE, cells=20).mean[:, 0]
    assert rough.tolist() == [0.0] * 10 + [1.0] * 10


def test_near_the_ends_the_window_is_cut():
    s = schedule((10, 1e-4, "relu"), (20, 1.0, "relu"))
    assert course([s], SPACE, cells=20, window=1000).mean[:, 0] == pytest.approx([0.5] * 20)
    narrow = course([s], SPACE, cells=4, window=15).mean[:, 0]
    assert narrow[0] == pytest.approx(0.0)  # the middle is 2.5: from 0 to 10
    assert narrow[1] == pytest.approx(5 / 15)  # the middle is 7.5: from 0 to 15


def test_where_one_ends_the_others_go_on():
    short = schedule((10, 1e-4, "relu"))
    mean = course([A, short], SPACE, cells=2)
    assert mean.count.tolist() == [2, 1]
    assert rates(mean) == pytest.approx([1e-2, 1e-2])
    assert np.isnan(mean.spread[1]).all()
    assert mean.band("lr")[0][1] == pytest.approx(1e-2)


@pytest.mark.parametrize("window", [0, 4])
def test_one_that_ends_within_a_cell_does_not_count_there(window):
    mean = course([B, schedule((15, 1e-4, "relu"))], SPACE, cells=2, window=window)
    assert mean.count.tolist() == [2, 1]
    assert rates(mean) == pytest.approx([1e-3, 1e-2])


def test_one_schedule_is_itself_and_can_be_trained_with():
    again = course([A], SPACE, cells=20).schedule()
    assert [(s.start, s.stop) for s in again] == [(i, i + 1) for i in range(20)]
    for step in range(20):
        assert again.at(step)["lr"] == pytest.approx(A.at(step)["lr"], rel=1e-9)
        assert again.at(step)["act"] == A.at(step)["act"]
    assert np.isnan(course([A], SPACE).spread).all()


def test_cells_are_no_shorter_than_a_step():
    assert len(course([A], SPACE, cells=1000)) == 20


def test_what_has_no_mean():
    with pytest.raises(hd.UsageError, match="at least one"):
        course([], SPACE)
    with pytest.raises(hd.UsageError, match="none that is empty"):
        course([A, Schedule(())], SPACE)
    with pytest.raises(hd.UsageError, match="0 and -1"):
        course([A], SPACE, cells=0, window=-1)
