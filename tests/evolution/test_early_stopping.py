"""The median rule by hand, what becomes of a stopped trial, and whole studies with workers."""

import threading
import time

import pytest

import heredity as hd
from evolution.story import Story
from heredity.errors import UsageError
from heredity.evolution import events as ev
from heredity.evolution.definition import Definition
from heredity.evolution.early_stopping import Median, Stopping
from heredity.evolution.exploit import Truncation
from heredity.evolution.generational import Generational
from heredity.evolution.objective import minimize
from heredity.evolution.pbt import PBT
from heredity.evolution.random_search import RandomSearch
from heredity.evolution.ready import Every
from heredity.evolution.trial import Checkpoint


class Watched(Story):
    def __init__(self, rule=None, algorithm=None, **options):
        super().__init__(Stopping(algorithm or RandomSearch(), rule or Median(0)), **options)

    def measure(self, trial, **scores):
        """Scores by step, `s3=0.5` at step 3."""
        for step, score in scores.items():
            attempt, metric = self.population.attempts[trial], self.population.names[0]
            self.append(ev.TrialMeasured(trial, attempt, int(step[1:]), {metric: score}))
        return trial

    @property
    def stops(self):
        """The trials that are asked to stop now."""
        return [e.trial for e in self.next_events(0) if isinstance(e, ev.TrialStopRequested)]


# Who is stopped ---------------------------------------------------------------------------------


def together(*curves, rule=None, **options):
    """Members that run their first trials side by side, with these scores at steps 1, 2, …"""
    story = Watched(rule, members=len(curves), **options)
    for member, curve in enumerate(curves):
        points = {f"s{step}": score for step, score in enumerate(curve, start=1)}
        story.measure(story.run(member), **points)
    return story


def test_worse_at_best_than_the_median_of_the_others_means():
    """At step 2 the others' means are 0.2, 0.4 and 0.8: the median is 0.4."""
    others = [(-0.2, 0.6), (0.2, 0.6), (0.6, 1.0)]
    assert together(*others, (0.0, 0.39)).stops == [3]
    assert together(*others, (0.0, 0.40)).stops == []
    assert together(*others, (0.41, 0.0)).stops == []  # its best counts, not its last


def test_the_median_is_of_the_same_step():
    """What the others did after that step does not count, nor whoever has not come so far."""
    ahead = [(0.1, 9.0, 9.0)] * 3
    assert together(*ahead, (0.2,)).stops == []
    assert together(*ahead, (0.0,)).stops == [3]
    assert together((0.5,), (0.5,), (0.5,), (0.1, 0.2)).stops == []


def test_who_reported_only_later_has_no_mean_yet():
    story = together((0.5,), (0.5,), (), (0.0,))
    story.measure(2, s2=0.5)
    assert story.stops == []


def test_lower_is_better_where_it_is():
    options = {"objectives": (minimize("loss"),)}
    curves = [(0.3, 0.2)] * 3
    assert together(*curves, (0.9, 0.8), **options).stops == [3]
    assert together(*curves, (0.9, 0.1), **options).stops == []


def test_no_trial_is_stopped_before_its_time():
    curves = [(0.5,) * 6] * 3
    for bad, stopped in ((5, [3]), (4, [])):
        assert together(*curves, (0.0,) * bad, rule=Median(after=0.5)).stops == stopped
        assert together(*curves, (0.0,) * bad, rule=Median(after=5)).stops == stopped


def test_no_trial_is_stopped_without_enough_others():
    curves = [(0.5,)] * 2
    assert together(*curves, (0.0,)).stops == []
    assert together(*curves, (0.0,), rule=Median(0, others=2)).stops == [2]


def test_what_ended_at_that_step_or_before_is_compared_with():
    """Its member has nothing running that has come so far."""
    story = Watched(members=4)
    for member, score in enumerate((0.3, 0.5, 0.7)):
        story.train(member, score)
    story.train(3, 0.0)
    trial = story.measure(story.run(3), s11=0.4)
    assert story.stops == [trial]
    ahead = story.measure(story.run(1), s11=0.1)
    assert story.stops == [ahead]  # at step 11 lane 1 has now 0.1, so the median of three is 0.3


def test_nobody_is_stopped_for_being_younger():
    story = Watched(members=4)
    for member in range(3):
        story.train(member, 9.0)
    story.measure(story.run(3), s5=0.0)
    assert story.stops == []


def test_what_diverged_is_worse_than_any_score():
    story = Watched(members=4)
    for member in range(2):
        story.diverge(member)
    story.train(2, 5.0)
    story.train(3, 0.0)
    story.measure(story.run(3), s11=-1e9)
    assert story.stops == []


def test_other_metrics_do_not_count_and_nothing_measured_is_nothing_to_judge():
    story = together((0.5,), (0.5,), (0.5,), ())
    story.append(ev.TrialMeasured(3, 0, 1, {"other": -1.0}))
    assert story.stops == []


def test_a_trial_is_asked_once_and_its_next_attempt_begins_anew():
    story = together((0.5,), (0.5,), (0.5,), (0.0,))
    story.append(*story.next_events(0))
    assert story.population.stops == {3}
    assert story.stops == []
    story.fail(3, "lost")
    story.start(3)
    assert story.view.measurements(3) == []
    assert story.stops == []


# What becomes of it -----------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [PBT(Truncation(0.5), ready=Every(0)), Generational()])
def test_a_stopped_trial_is_a_result_and_its_lane_goes_on(algorithm):
    story = Watched(algorithm=algorithm, members=2)
    trial = story.run(0)
    saved = Checkpoint("memory:0", 1, "")
    story.append(ev.TrialStopped(trial, 0, 4, 0.5, {"q": 0.5}, saved))
    assert story.population.spent.tolist() == [4, 0]
    record = story.population.trial(trial)
    assert (record.status, record.reached, record.score) == ("stopped", 4, 0.5)
    going_on = story.proposals(2)[0]
    assert (going_on.weights_from, going_on.start, going_on.stop) == (trial, 4, 14)


@pytest.mark.parametrize(
    "algorithm", [PBT(average=3), PBT(mode="sync"), RandomSearch(2), Generational()], ids=str
)
def test_all_else_is_the_algorithms(algorithm):
    told = [Story(given, members=3) for given in (algorithm, Stopping(algorithm))]
    for story in told:
        for member in range(3):
            story.train(member, float(member))
        story.train(0, 5.0)
    plain, stopping = told
    assert stopping.next_events(3) == plain.next_events(3)
    assert stopping.definition.algorithm.retains(stopping.view) == algorithm.retains(plain.view)
    assert stopping.population.average == plain.population.average
    assert stopping.population.means.values.tolist() == plain.population.means.values.tolist()


def test_a_definition_with_it_comes_back_from_json():
    definition = Story(Stopping(PBT(average=2, ramp=0.5), Median(3, 4))).definition
    again = Definition.from_json(definition.as_json())
    assert again == definition
    assert (again.algorithm.algorithm.average, again.algorithm.ramp) == (2, 0.5)


def test_the_algorithm_is_asked_whether_it_suits():
    story = Story(Stopping(Generational(weights=(1.0, 1.0))))
    with pytest.raises(UsageError, match="2 weights"):
        story.definition.check()


# A study with worker processes ------------------------------------------------------------------


def climb(session):
    """Climbs by x a step and reports every one. With a small x, six steps into any trial but the
    first, it waits to be stopped."""
    x, height = session.hparams["x"], 0.0
    if session.restore:
        height = float((session.restore / "height").read_text())
    step = session.start
    while step < session.stop and not session.stop_requested:
        step, height = step + 1, height + x
        session.report(step=step, q=height)
        if x < 0.1 and session.start >= 10 and step == session.start + 6:
            wait_until(lambda: session.stop_requested)
    (session.save / "height").write_text(str(height))
    session.report(step=step, q=height)


def wait_until(true, at_most_s=60.0):
    pause, ends = threading.Event(), time.monotonic() + at_most_s
    while not true():
        assert time.monotonic() < ends, "nobody asked"
        pause.wait(0.002)


def test_a_bad_trial_ends_early_and_good_ones_do_not(tmp_path):
    """Two workers, four members. The bad one may not take over another before it has trained 20
    steps; it is stopped on its way, and every member trains just what its budget gives."""
    study = hd.Study(
        climb,
        hd.Space(x=hd.Uniform(0.0, 1.0)),
        objective=hd.maximize("q"),
        population=4,
        interval=10,
        budget=hd.Steps(40),
        algorithm=hd.Stopping(hd.PBT(explore=None, ready=hd.Every(20)), hd.Median(after=6)),
        initial=[{"x": 0.8}, {"x": 0.79}, {"x": 0.78}, {"x": 0.01}],
        name="climb",
        storage=tmp_path,
        finalists=0,
    )
    result = study.run(hd.Processes(2), live="off")
    assert result.status == "ended"
    stopped = [trial for trial in result.trials if trial.status == "stopped"]
    assert {trial.hparams["x"] for trial in stopped} == {0.01}
    first = stopped[0]
    assert (first.member, first.start, first.reached) == (3, 10, 16)
    assert first.score == pytest.approx(0.16)
    others = [trial for trial in result.trials if trial not in stopped]
    assert {trial.status for trial in others} == {"finished"}
    spent = [0] * 4
    for trial in result.trials:
        spent[trial.member] += trial.reached - trial.start
    assert spent == result.population.spent.tolist() == [40] * 4
    assert result.best.hparams == {"x": 0.8}


# Mistakes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Median(after=-1), "after"),
        (lambda: Median(after=float("nan")), "after"),
        (lambda: Median(others=0), "others"),
        (lambda: Stopping(Median(), PBT()), "Stopping takes an algorithm and a rule"),
        (lambda: Stopping(PBT, Median()), "Stopping takes"),
    ],
)
def test_options_that_make_no_sense(make, match):
    with pytest.raises(UsageError, match=match):
        make()
