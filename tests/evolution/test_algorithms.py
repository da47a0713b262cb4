"""One table: every selection, exploration, copy mode and comparison keeps every shared promise.

The shared promises are `heredity.testing.algorithm_suite`; here stand the rows, and what every row
of `PBT` promises beyond them.
"""

import itertools

import pytest

from heredity.evolution.budget import Steps
from heredity.evolution.early_stopping import Stopping
from heredity.evolution.exploit import Deadband, Tournament, Truncation, TTest
from heredity.evolution.explore import Perturb
from heredity.evolution.generational import Generational
from heredity.evolution.pbt import PBT
from heredity.evolution.random_search import RandomSearch
from heredity.evolution.ready import Every
from heredity.space import Resample
from heredity.testing.algorithm_suite import AlgorithmSuite
from heredity.testing.play import play
from heredity.testing.toys import noisy

EXPLOITS = [Truncation(), Tournament(), TTest(p=0.2, count=3), Deadband(0.5), None]
EXPLORES = [Perturb(), Perturb(resample=0.25), Resample(), None]
MODES = ["async", "sync"]
COPIES = ["all", "weights", "hparams"]
COMPARISONS = ["same step", "latest"]


def short(algorithm):
    """A row's name: what differs from the default."""
    if not isinstance(algorithm, PBT):
        return str(algorithm)
    default = PBT()
    fields = {n: getattr(algorithm, n) for n in default.__dataclass_fields__}
    changed = [f"{n}={v}" for n, v in fields.items() if v != getattr(default, n)]
    return ",".join(changed).replace(" ", "") or "default"


def covering():
    """Every pair of choices at least once; all choices of one kind with each of another."""
    rows = list(itertools.product(EXPLOITS, EXPLORES, MODES, COPIES, COMPARISONS))
    wanted = {pair for row in rows for pair in _pairs(row)}
    while wanted:
        best = max(rows, key=lambda row: len(wanted & _pairs(row)))
        wanted -= _pairs(best)
        yield best


def _pairs(row):
    return set(itertools.combinations(enumerate(map(str, row)), 2))


ROWS = [
    PBT(exploit, explore, Every(0), mode, copy, compare)
    for exploit, explore, mode, copy, compare in covering()
]
MORE = [
    PBT(),
    PBT(mode="sync"),
    PBT(ready=Every(30), average=3),
    PBT(ready=Every(0), ramp=0.5),
    PBT(ready=Every(0), measure=0.5),
    PBT(ready=Every(0), measure=0.5, mode="sync", average=2),
]
GENERATIONAL = [
    Generational(),
    Generational(Resample(), crossover=0.5),
    Generational(None, crossover=1.0, weights=(2.0,)),
]
STOPPING = [Stopping(PBT(average=2, ready=Every(0))), Stopping(Generational())]


class TestPBT(AlgorithmSuite):
    @pytest.fixture(params=ROWS + MORE, ids=short)
    def algorithm(self, request):
        return request.param

    @pytest.fixture(autouse=True)
    def _latest_grows_old(self, algorithm, monkeypatch):
        monkeypatch.setattr(self.__class__, "same_step", algorithm.compare == "same step")


class TestGenerational(AlgorithmSuite):
    @pytest.fixture(params=GENERATIONAL, ids=str)
    def algorithm(self, request):
        return request.param


class TestStopping(AlgorithmSuite):
    @pytest.fixture(params=STOPPING, ids=str)
    def algorithm(self, request):
        return request.param


class TestRandomSearch(AlgorithmSuite):
    @pytest.fixture
    def algorithm(self):
        return RandomSearch()


# What is inherited ------------------------------------------------------------------------------

EVERY_ROW = [
    PBT(*row[:2], Every(0), *row[2:])
    for row in itertools.product(EXPLOITS, EXPLORES, MODES, COPIES, COMPARISONS)
]


@pytest.mark.parametrize("algorithm", EVERY_ROW, ids=short)
def test_inheritance_is_one_record(algorithm):
    """Seen elsewhere: the child gets the winner's hyperparameters but its own old weights, or the
    other way round. The record that won, the weights and the hparams are one trial's, unless a copy
    mode asks for one of the two; and it won by its score."""
    definition = noisy().definition(algorithm, population=6, seed=1)
    population = play(definition, Steps(80), noisy().run, order=1)
    exploits = 0
    for trial in map(population.trial, range(len(population))):
        if not trial.evidence:
            continue
        exploits += 1
        donor, own = map(population.trial, trial.evidence)
        assert donor.member != trial.member
        assert own.member == trial.member
        assert own.turn == trial.turn - 1
        weights = own if algorithm.copy == "hparams" else donor
        source = own if algorithm.copy == "weights" else donor
        assert (trial.weights_from, trial.start) == (weights.id, weights.reached)
        assert trial.hparams_from == (source.id,)
        assert population.means[donor.id, 0] >= population.means[own.id, 0]
        moved = [name for name, value in trial.hparams.items() if value != source.hparams[name]]
        assert moved == ([] if algorithm.explore is None else ["x", "y"])
        if algorithm.compare == "same step":
            assert donor.reached <= own.reached
    assert population.exploits == exploits
    assert (exploits > 0) == (algorithm.exploit is not None)


def test_a_member_that_does_not_exploit_goes_on_as_it_is():
    population = play(noisy().definition(PBT(), population=6), Steps(80), noisy().run, order=1)
    for trial in map(population.trial, range(len(population))):
        if trial.turn and not trial.evidence:
            before = population.trial(trial.weights_from)
            assert (before.member, before.turn) == (trial.member, trial.turn - 1)
            assert trial.hparams == before.hparams
            assert trial.hparams_from == (before.id,)
