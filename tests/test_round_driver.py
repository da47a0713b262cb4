"""Vectorized studies: the same decisions and the same promises, a round at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import heredity as hd
from evolution.test_algorithms import GENERATIONAL, MORE, ROWS, STOPPING, short
from heredity.evolution import events as ev
from heredity.evolution.population import Population
from heredity.evolution.rounds import as_round, expand, outcomes_of, proposals_of
from heredity.executors.program import OutOfMemory, Setting
from heredity.live.facts import Facts
from heredity.stores import open_store
from heredity.testing.arithmetic import Arithmetic, ArithmeticProgram, gain

SCRIPT = """
import sys
import heredity as hd
from heredity.testing.arithmetic import Arithmetic

study = hd.Study(
    Arithmetic(limit=0.95),
    hd.Space(x=hd.Uniform(0.0, 1.0)),
    objective=hd.maximize("progress"),
    population=6, interval=5, budget=hd.Steps(60), name="s", storage=sys.argv[1],
)
study.run(hd.Vectorized(block=2), live="off")
"""


def study(storage: Path | str = ":memory:", **changes: Any) -> hd.Study:
    options: dict[str, Any] = {
        "objective": hd.maximize("progress"),
        "population": 6,
        "interval": 5,
        "budget": hd.Steps(60),
        "name": "s",
        "storage": storage,
        "algorithm": hd.PBT(mode="sync"),
    }
    space = hd.Space(x=hd.Uniform(0.0, 1.0))
    trainable = Arithmetic(changes.pop("limit", 2.0), changes.pop("room", None))
    return hd.Study(trainable, space, **{**options, **changes})


def scores_follow_from_lineages(result: hd.Result) -> bool:
    """Whether each score is what its lineage's hparams add up to: no state was lost or mixed up."""
    return all(
        trial.score
        == pytest.approx(
            sum(
                (step.stop - step.start) * gain(step.hparams["x"])
                for step in result.schedule(trial.id)
            )
        )
        for trial in result.trials
        if trial.status == "finished" and trial.kind == "train"
    )


def log_of(storage: Path) -> list[ev.Event]:
    return list(open_store(storage, read_only=True).read("s"))


def decisions(result: hd.Result) -> list[tuple[Any, ...]]:
    return [
        (
            t.member,
            t.turn,
            t.kind,
            t.weights_from,
            dict(t.hparams),
            t.start,
            t.stop,
            t.seed,
            t.score,
        )
        for t in result.trials
    ]


class TestAgreement:
    @pytest.mark.parametrize("limit", [2.0, 0.9], ids=["all finite", "some diverge"])
    @pytest.mark.parametrize("block", [1, 3, 100])
    def test_vectorized_and_inline_take_the_same_decisions(self, limit: float, block: int) -> None:
        vectorized = study(limit=limit).run(hd.Vectorized(block=block), live="off")
        inline = study(limit=limit).run(hd.Inline(), live="off")
        assert decisions(vectorized) == decisions(inline)
        assert vectorized.best.score == inline.best.score
        assert vectorized.best.confirmed == inline.best.confirmed

    def test_what_is_shown_live_equals_the_fold_of_what_was_written(self, tmp_path: Path) -> None:
        result = study(tmp_path, limit=0.9).run(hd.Vectorized(block=4), live="off")
        folded = Population.fold(log_of(tmp_path))
        for name, value in vars(folded).items():
            shown = vars(result.population)[name]
            if isinstance(value, (int, str, dict, set, list, tuple)):
                assert shown == value, name
        assert folded.means.values.tobytes() == result.population.means.values.tobytes()
        assert folded.kept.values.tobytes() == result.population.kept.values.tobytes()


TABLE = [*ROWS, *MORE, *GENERATIONAL, *STOPPING, hd.RandomSearch()]
SYNCHRONOUS = [row for row in TABLE if getattr(row, "mode", "") == "sync"] + [hd.RandomSearch()]


class TestAlgorithms:
    """The table of algorithms, in rounds; the first member diverges at once."""

    def in_rounds(self, algorithm: hd.Algorithm) -> hd.Result:
        return self.study(algorithm).run(hd.Vectorized(block=3), live="off")

    def study(self, algorithm: hd.Algorithm) -> hd.Study:
        return study(algorithm=algorithm, limit=0.9, initial=[{"x": 0.99}])

    @pytest.mark.parametrize("algorithm", TABLE, ids=short)
    def test_every_lane_trains_its_budget_and_stays_whole(self, algorithm: hd.Algorithm) -> None:
        result = self.in_rounds(algorithm)
        population = result.population
        assert result.status == "ended"
        assert population.spent.tolist() == [60] * 6
        assert not population.open
        assert population.diverged
        for trial in result.trials:
            assert 0.0 <= trial.hparams["x"] <= 1.0
            if trial.weights_from is not None:
                source = result.trials[trial.weights_from]
                assert source.status == "finished"
                assert source.reached == trial.start
        assert result.best.load() == pytest.approx(result.best.score)

    @pytest.mark.parametrize("algorithm", SYNCHRONOUS, ids=short)
    def test_a_synchronous_one_decides_as_inline(self, algorithm: hd.Algorithm) -> None:
        inline = self.study(algorithm).run(hd.Inline(), live="off")
        results = self.in_rounds(algorithm), inline
        taken = [  # the mean of ten equal measurements may differ from them in the last bit
            [d[:-1] if d[2] == "evaluate" else d for d in decisions(result)] for result in results
        ]
        assert taken[0] == taken[1]


def test_members_are_shown_at_what_they_are_doing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures: list[tuple[str, set[str]]] = []

    class Screen:
        def open(self, name: str, doing: str) -> None: ...

        def draw(self, facts: Facts, left_s: float | None) -> None:
            pictures.append((facts.progress.text, {row.state for row in facts.rows(6)}))

        def close(self, facts: Facts | None, unverified: tuple[str, ...]) -> None: ...

    monkeypatch.setattr("heredity.live._screen", Screen)
    monkeypatch.setattr("heredity.live.View.show", shown_at_once)
    study(tmp_path).run(hd.Vectorized(block=2))
    trained = [states for text, states in pictures if not text.startswith("60 of")]
    assert trained == [{"training"}] * 12
    assert any("measuring" in states for _, states in pictures[12:-1])
    assert pictures[-1] == ("60 of 60 steps", {"done"})


def shown_at_once(view: Any, driver: Any) -> None:
    """Draws at every call."""
    view._screen.draw(view._facts(driver), None)


class TestRounds:
    def rounds(self, tmp_path: Path) -> list[ev.RoundFinished]:
        study(tmp_path, limit=0.5, algorithm=hd.PBT(measure=0.7)).run(
            hd.Vectorized(block=2), live="off"
        )
        return [event for event in log_of(tmp_path) if isinstance(event, ev.RoundFinished)]

    def test_a_round_is_one_event_and_expands_to_what_it_was_made_of(self, tmp_path: Path) -> None:
        rounds = self.rounds(tmp_path)
        assert len(rounds) == 12
        assert any(event.diverged for event in rounds)
        for event in rounds:
            again = as_round(proposals_of(event), outcomes_of(event), event.elapsed_s)
            assert expand(again) == expand(event)
            assert len(expand(event)) == 3 * event.count

    def test_only_the_last_round_of_a_block_names_a_checkpoint(self, tmp_path: Path) -> None:
        named = [event.checkpoint is not None for event in self.rounds(tmp_path)]
        assert named == [False, True] * 6


class TestBlocks:
    def test_the_best_is_always_a_checkpoint(self, tmp_path: Path) -> None:
        """Also when it was reached in the middle of a block, or blocks ago."""
        one = study(tmp_path, limit=0.9, final_evaluations=0)
        best = one.run(hd.Vectorized(block=5), live="off").best
        assert best.load() == pytest.approx(best.score)
        assert (one.folder / "best").resolve() == best.checkpoint.resolve()

    @pytest.mark.parametrize("finals", [{"finalists": 0}, {"final_evaluations": 0}], ids=str)
    def test_the_best_is_kept_where_nobody_is_measured_again(
        self, finals: dict[str, int], tmp_path: Path
    ) -> None:
        result = study(tmp_path, limit=0.9, **finals).run(hd.Vectorized(block=5), live="off")
        assert result.best.load() == pytest.approx(result.best.score)

    def test_old_blocks_go(self, tmp_path: Path) -> None:
        one = study(tmp_path)
        one.run(hd.Vectorized(block=1), live="off")
        assert len(list(one.checkpoints.list())) == 1

    def test_a_pinned_trial_keeps_its_block(self, tmp_path: Path) -> None:
        one = study(tmp_path, budget=hd.Steps(10))
        result = one.run(hd.Vectorized(block=1), live="off")
        pinned = max(result.population.held)
        result._log.append([ev.CheckpointPinned(pinned)])
        study(tmp_path).run(hd.Vectorized(block=1), live="off")
        later = hd.open("s", tmp_path).model(pinned)
        assert later.checkpoint.is_dir()

    def test_goes_on_from_the_last_block_when_the_budget_is_raised(self, tmp_path: Path) -> None:
        study(tmp_path, budget=hd.Steps(25), final_evaluations=0).run(
            hd.Vectorized(block=2), live="off"
        )
        longer = study(tmp_path, final_evaluations=0).run(hd.Vectorized(block=2), live="off")
        straight = study(final_evaluations=0).run(hd.Vectorized(), live="off")
        assert decisions(longer) == decisions(straight)


class TestDisk:
    def test_blocks_that_take_too_much_pause_the_study(self, tmp_path: Path) -> None:
        with pytest.raises(hd.HeredityError, match="more than the limit of 50 B"):
            study(tmp_path, disk_limit_bytes=50).run(hd.Vectorized(block=1), live="off")
        more = study(tmp_path, disk_limit_bytes=10**6).run(hd.Vectorized(block=1), live="off")
        assert more.status == "ended"


class TestMemory:
    def test_the_chunk_stays_unless_a_smaller_one_is_asked_for(self, tmp_path: Path) -> None:
        for steps, chunk in [(10, "auto"), (20, "auto"), (30, 2), (40, 6), (50, "auto")]:
            study(tmp_path, budget=hd.Steps(steps)).run(hd.Vectorized(chunk=chunk), live="off")
        assert [e.chunk for e in log_of(tmp_path) if isinstance(e, ev.ChunkChosen)] == [6, 2]

    def test_what_does_not_fit_at_the_start_is_tried_in_smaller_chunks(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        opened = ArithmeticProgram.open

        def tight(program: ArithmeticProgram, setting: Setting) -> None:
            opened(program, setting)
            if program.chunk > 3:
                raise OutOfMemory("it does not fit", program.chunk // 2)

        monkeypatch.setattr(ArithmeticProgram, "open", tight)
        result = study().run(hd.Vectorized(chunk=6), live="off")
        assert result.status == "ended"
        assert result.population.chunk == 3

    def test_out_of_memory_goes_on_from_the_last_block_in_smaller_chunks(
        self, tmp_path: Path
    ) -> None:
        tight = study(tmp_path, room=1).run(hd.Vectorized(block=1), live="off")
        straight = study().run(hd.Vectorized(), live="off")
        assert decisions(tight) == decisions(straight)
        chosen = [e for e in log_of(tmp_path) if isinstance(e, ev.ChunkChosen)]
        assert [event.chunk for event in chosen] == [6, 3, 1]
        assert "out of memory with 6" in chosen[1].reason


class TestOthers:
    @pytest.mark.parametrize("block", [1, 100])
    def test_a_target_ends_the_study_with_the_round_that_reaches_it(self, block: int) -> None:
        result = study(budget=hd.Target(12.0)).run(hd.Vectorized(block=block), live="off")
        scores = [t.score or 0.0 for t in result.trials if t.kind == "train"]
        assert len(scores) == 18, "5 steps a round, at most 1 each"
        assert max(scores[:12]) < 12.0 <= max(scores)
        assert result.best.load() == pytest.approx(result.best.score)

    def test_members_that_had_nothing_to_train_in_the_last_round_go_on(
        self, tmp_path: Path
    ) -> None:
        """The budget ends within a round, and is raised: twice, to another length of trials."""
        for budget in (hd.Trials(20), hd.Trials(33), hd.Steps(53)):
            result = study(tmp_path, budget=budget).run(hd.Vectorized(block=2), live="off")
        trained = [t for t in result.trials if t.kind == "train"]
        assert not [t.reason for t in trained if "lost" in t.reason]
        assert [t for t in trained if t.turn and t.weights_from is None] == []
        assert result.population.spent.tolist() == [53] * 6
        for trial in trained:
            if trial.weights_from is not None:
                assert result.trials[trial.weights_from].reached == trial.start
        assert result.best.load() == pytest.approx(result.best.score)
        assert scores_follow_from_lineages(result)

    def test_a_lineage_is_kept_as_far_as_blocks_hold_it(self, tmp_path: Path) -> None:
        result = study(tmp_path, keep="lineage").run(hd.Vectorized(block=1), live="off")
        ancestors = list(result.population.lineage(result.best.trial.id))
        assert len(ancestors) > 5
        assert result.population.held >= set(ancestors)

    def test_a_budget_of_trials_ends_with_a_round_that_is_not_full(self, tmp_path: Path) -> None:
        result = study(tmp_path, budget=hd.Trials(20), final_evaluations=0).run(
            hd.Vectorized(block=2), live="off"
        )
        assert result.population.ended_count == 20
        assert result.best.load() == pytest.approx(result.best.score)

    def test_what_others_append_meanwhile_is_taken_in(self, tmp_path: Path) -> None:
        one = study(tmp_path)
        asked = []

        def ask_once(event: ev.Event) -> None:
            if isinstance(event, ev.RoundFinished) and not asked:
                asked.append(event)
                study(tmp_path).inject({"x": 0.7})

        result = one.run(hd.Vectorized(block=1), on_event=ask_once, live="off")
        injected = [trial for trial in result.trials if trial.injection is not None]
        assert [dict(trial.hparams) for trial in injected] == [{"x": 0.7}]
        assert result.status == "ended"

    def test_cannot_change_between_kinds_of_executor(self, tmp_path: Path) -> None:
        study(tmp_path, budget=hd.Steps(10)).run(hd.Vectorized(), live="off")
        with pytest.raises(hd.UsageError, match=r"begun on hd\.Vectorized"):
            study(tmp_path, budget=hd.Steps(20)).run(hd.Inline(), live="off")

    def test_an_ordinary_trainable_is_refused(self, tmp_path: Path) -> None:
        one = hd.Study(
            lambda session: None,
            hd.Space(x=hd.Uniform(0, 1)),
            objective=hd.maximize("q"),
            interval=1,
            budget=hd.Steps(1),
            name="s",
            storage=tmp_path,
        )
        with pytest.raises(hd.UsageError, match="VectorTrainable"):
            one.run(hd.Vectorized(), live="off")


POINTS = ["launch.before", "launch.after", "rename.before", "rename.after", "append.before"]
POINTS += ["append.after", "release.after", "unlink.before", "unlink.after"]


@pytest.mark.parametrize("visit", [1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_the_study_ends_as_if_it_had_not_been(
    point: str, visit: int, tmp_path: Path
) -> None:
    """The log never names a checkpoint that is not whole, and the finished study is bitwise the one
    of an uninterrupted run."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    environment = {**os.environ, "HEREDITY_CRASH_AT": f"{point}:{visit}"}
    killed = subprocess.run(command, env=environment, capture_output=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    if (tmp_path / "heredity.db").exists() and open_store(tmp_path).studies():
        halfway = hd.open("s", tmp_path)
        for trial in sorted(halfway.population.held):
            assert halfway.model(trial).checkpoint.is_dir()
    ended = study(tmp_path, limit=0.95, algorithm=None).run(hd.Vectorized(block=2), live="off")
    one = study(limit=0.95, algorithm=None)
    straight = one.run(hd.Vectorized(block=2), live="off")
    assert ended.status == "ended"
    assert decisions(ended) == decisions(straight)
    assert ended.best.score == straight.best.score
    assert study(tmp_path).checkpoints.root.is_dir()
    left = {stored.uri for stored in study(tmp_path).checkpoints.list()}
    assert left == {c.uri for t in ended.trials if (c := t.checkpoint)}
