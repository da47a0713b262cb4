"""Trials of real programs: what they are told, what came of it, and what is not enough."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from command_bench import LOSS, SAVES, SCORES, Bench, after, descent, python, task

from heredity.executors.base import Completed, Failed, Measured
from heredity.testing.paths import weird_folder
from heredity.trainables.command import Command
from heredity.trainables.command.template import OWN, literal

# What it is told -----------------------------------------------------------------------


def test_from_scratch_and_from_inherited_weights(tmp_path: Path) -> None:
    bench = Bench(weird_folder(tmp_path), descent(tmp_path))
    first = bench.done(task())
    assert first.metrics["loss"] == pytest.approx((5 * 0.8**5) ** 2)
    second = bench.done(after(first))
    assert second.metrics["loss"] == pytest.approx((5 * 0.8**10) ** 2)
    assert json.loads(bench.saved(second, "x.json")) == pytest.approx(5 * 0.8**10)
    assert (second.reached, second.unverified) == (10, ("lr",))


def test_the_same_values_as_json(tmp_path: Path) -> None:
    """What the file holds, beside what the arguments say: every placeholder and the hparams."""
    code = """
import json, os, sys
told = json.load(open(os.environ["HEREDITY_TRIAL"]))
json.dump([told, sys.argv[1:]], open(sys.argv[1] + "/told", "w"))
print("loss", 1)
"""
    names = ["save", *sorted({*OWN} - {"save", "restore"})]
    fields = [f"{{{name}}}" for name in [*names, "lr"]]
    command = Command(
        ["{python}", "-c", literal(code), *fields, "[{restore} | none]"], metrics=LOSS
    )
    bench = Bench(weird_folder(tmp_path), command)
    first = bench.done(task())
    told, arguments = json.loads(bench.saved(first, "told"))
    assert arguments == [*(str(told[name]) for name in names), "0.1", "none"]
    assert (told["hparams"], told["restore"]) == ({"lr": 0.1}, None)
    counted = ("steps", "start", "stop", "seed", "member", "trial")
    assert [told[name] for name in counted] == [5, 0, 5, 7, 2, 0]
    told, arguments = json.loads(bench.saved(bench.done(after(first)), "told"))
    assert arguments[-1] == told["restore"]
    assert [told[name] for name in counted] == [5, 5, 10, 7, 2, 1]


@pytest.mark.parametrize("reads_json", [True, False])
def test_an_hparam_that_only_json_holds_is_used_only_if_that_is_read(
    tmp_path: Path, reads_json: bool
) -> None:
    command = Command(
        ["/bin/sh", "-c", "echo x > $1/x; echo loss 1", "sh", "{save}", "[{restore}]"],
        metrics=LOSS,
        reads_json=reads_json,
    )
    report = Bench(tmp_path, command).run(task())
    assert isinstance(report, Completed if reads_json else Failed)
    assert reads_json or "nothing used the hparam `lr`" in report.error  # type: ignore[union-attr]


def test_it_runs_where_heredity_runs_or_where_it_is_told_to(tmp_path: Path) -> None:
    code = SAVES + SCORES + "(save / 'cwd').write_text(os.getcwd())"
    bench = Bench(tmp_path, python(code))
    assert bench.saved(bench.done(task()), "cwd") == os.getcwd()
    bench = Bench(tmp_path, python(code + "; assert os.listdir() == []", cwd="{work}"))
    work = bench.saved(bench.done(task()), "cwd")
    assert work != os.getcwd()
    assert not Path(work).exists()


WHERE = SAVES + SCORES + "(save / 'cwd').write_text(os.getcwd())"


def test_it_runs_at_home_where_that_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere, such as on other machines, where its worker was started."""
    home, start = weird_folder(tmp_path), tmp_path / "start"
    for folder in (home / "sub", start / "sub"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(start)
    for given, there in ((str(home), home), (str(tmp_path / "gone"), start)):
        for cwd, folder in ((None, there), ("sub", there / "sub"), (literal(str(home)), home)):
            bench = Bench(tmp_path / f"{there.name} {cwd is None} {folder.name}",
                          python(WHERE, home=given, cwd=cwd))  # fmt: skip
            assert bench.saved(bench.done(task()), "cwd") == str(folder)


@pytest.mark.parametrize(
    ("words", "cwd", "said"),
    [
        ("{python} -S train.py {lr} {save} [{restore}]", None, "with exit code 2: "),
        ("./train.sh {lr} {save} [{restore}]", None, "'./train.sh' cannot be started in "),
        ("true {lr} {save} [{restore}]", "sub", "there is no folder "),
    ],
)
def test_away_from_home_a_program_that_is_not_there_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, cwd: str | None, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for home in ("gone", None):
        failed = Bench(tmp_path, Command(words, home=home, cwd=cwd)).failed(task())
        away = f"'{tmp_path}/gone', is not on this machine, so that in which the worker was "
        away += f"started, '{tmp_path}', takes its place"
        assert said in failed.error
        assert (away in failed.error) == (home is not None)


def test_a_folder_that_was_asked_for_has_to_be_there(tmp_path: Path) -> None:
    command = python(WHERE, home=str(tmp_path), cwd=str(tmp_path / "gone"))
    assert "there is no folder" in Bench(tmp_path, command).failed(task()).error


def test_a_shell_takes_odd_folders(tmp_path: Path) -> None:
    text = "cat {restore}/x 2>/dev/null; echo {lr} > {save}/x; echo loss 1 | tee {work}/y"
    bench = Bench(weird_folder(tmp_path), Command(text, shell=True, metrics=LOSS))
    assert bench.saved(bench.done(after(bench.done(task()))), "x") == "0.1\n"


# Metrics -------------------------------------------------------------------------------


def test_metrics_from_a_file(tmp_path: Path) -> None:
    code = SAVES + "(save / 'm.json').write_text(json.dumps({'loss': 3, 'other': 4}))"
    bench = Bench(tmp_path, python(code, metrics="{save}/m.json"))
    assert bench.done(task()).metrics == {"loss": 3, "other": 4}


def test_metrics_that_came_with_the_parents_files_are_nobodys(tmp_path: Path) -> None:
    code = SAVES + "restore or (save / 'm.json').write_text(json.dumps({'loss': 3}))"
    command = python(code, metrics="{save}/m.json", seed_save_folder=True)
    bench = Bench(tmp_path, command)
    failed = bench.failed(after(bench.done(task())))
    assert "m.json' cannot be read: No such file" in failed.error


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_score_that_is_not_finite_diverges_and_keeps_nothing(tmp_path: Path, value: str) -> None:
    command = Command(f"echo loss {value} {{lr}} {{save}} [{{restore}}]", metrics=LOSS)
    report = Bench(tmp_path, command).done(task())
    assert report.checkpoint is None
    assert str(report.metrics["loss"]) == value


def test_a_program_that_fails_since_it_diverged_has_diverged(tmp_path: Path) -> None:
    code = "print('loss 1')\nprint('loss nan')\nsys.exit(1)"
    report = Bench(tmp_path, python(code, metrics=LOSS)).done(task())
    assert report.checkpoint is None


def test_scores_with_a_step_are_passed_on(tmp_path: Path) -> None:
    code = SAVES + "[print('epoch', i, 'loss', 9 - i) for i in range(told['stop'] + 1)]"
    bench = Bench(tmp_path, python(code, metrics=LOSS, step=r"epoch (\d+)"))
    assert bench.done(task()).metrics == {"loss": 4}
    assert [(m.step, m.metrics["loss"]) for m in bench.measured] == [(i, 9 - i) for i in range(5)]


def test_steps_that_are_not_the_lineages_are_an_error(tmp_path: Path) -> None:
    code = SAVES + "[print('epoch', i, 'loss', i) for i in range(5)]"
    bench = Bench(tmp_path, python(code, metrics=LOSS, step=r"epoch (\d+)"))
    failed = bench.failed(after(bench.done(task())))
    assert "speaks of step 0, but this trial goes from 5 to 10" in failed.error


def test_a_trial_that_is_not_measured_needs_no_score(tmp_path: Path) -> None:
    assert Bench(tmp_path, python(SAVES)).done(task(evaluations=0)).metrics == {}


# What is not enough --------------------------------------------------------------------


def test_a_failure_shows_the_last_words(tmp_path: Path) -> None:
    failed = Bench(tmp_path, python("print('working'); raise ValueError('bad shape')")).failed(
        task()
    )
    assert failed.error == "the program ended with exit code 1: ValueError: bad shape"
    assert failed.traceback.startswith("working\nTraceback")


def test_a_success_without_a_score_shows_the_last_words(tmp_path: Path) -> None:
    failed = Bench(tmp_path, python(SAVES + "print('done')", metrics=LOSS)).failed(task())
    assert "no line matched the pattern of `loss`" in failed.error
    assert failed.traceback == "done"


def test_saving_nothing_is_an_error(tmp_path: Path) -> None:
    failed = Bench(tmp_path, python(SCORES)).failed(task())
    assert "saved nothing into the folder {save}" in failed.error


def test_leaving_what_the_parent_saved_is_saving_nothing(tmp_path: Path) -> None:
    command = python(SCORES + "restore or (save / 'x').touch()", seed_save_folder=True)
    bench = Bench(tmp_path, command)
    assert "saved nothing" in bench.failed(after(bench.done(task()))).error


def test_a_ramp_is_refused(tmp_path: Path) -> None:
    ramp = task(ramp_from={"lr": 0.2}, ramp_steps=2)
    assert "set ramp=0" in Bench(tmp_path, python(SAVES + SCORES)).failed(ramp).error


# Inheritance ---------------------------------------------------------------------------


@pytest.mark.parametrize("act", ["open(path, 'w').write('x')", "open(path, 'a').write('x')"])
def test_resuming_in_place_leaves_the_parent_as_it_was(tmp_path: Path, act: str) -> None:
    code = f"{SCORES}path = save / 'x'\nif restore: assert path.read_text() == 'x'\n{act}"
    bench = Bench(tmp_path, python(code, seed_save_folder=True))
    first = bench.done(task())
    assert bench.saved(bench.done(after(first)), "x") in ("x", "xx")
    assert bench.saved(first, "x") == "x"


def test_a_program_that_writes_to_its_parent_is_told_how_not_to(tmp_path: Path) -> None:
    code = f"{SAVES}{SCORES}\nif restore: open(restore + '/state', 'a').write('x')"
    bench = Bench(tmp_path, python(code))
    failed = bench.failed(after(bench.done(task())))
    assert "the program changed 'state' in the folder {restore}" in failed.error


def test_a_program_may_copy_everything_and_link_to_its_newest_file(tmp_path: Path) -> None:
    code = f"""
    import shutil
    if restore: shutil.copytree(restore, save, dirs_exist_ok=True)
    (save / f"step{{told['stop']}}").write_text(str(told['stop']))
    (save / 'last').unlink(missing_ok=True)
    (save / 'last').symlink_to(f"step{{told['stop']}}")
    {SCORES}"""
    bench = Bench(tmp_path, python(code))
    second = bench.done(after(bench.done(task())))
    assert [bench.saved(second, name) for name in ("step5", "step10", "last")] == ["5", "10", "10"]


# Measuring again -----------------------------------------------------------------------

MEASURES = ["/bin/sh", "-c", "cat $1/state; echo loss 0.$2", "sh", "{restore}", "{seed}"]


def test_an_evaluation_draws_fresh_seeds_and_alters_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, python(SAVES + "print('loss 1')", metrics=LOSS, evaluate=MEASURES))
    first = bench.done(task())
    again = bench.done(after(first, kind="evaluate", stop=5, evaluations=3))
    assert again.metrics["loss_std"] > 0
    assert again.checkpoint is None
    assert bench.saved(first, "state") == "saved"


def test_what_prints_no_score_is_measured_by_the_other_command(tmp_path: Path) -> None:
    bench = Bench(tmp_path, python(SAVES, metrics=LOSS, evaluate=MEASURES))
    report = bench.done(task(evaluations=2))
    assert report.metrics["loss_std"] > 0
    assert bench.done(task(evaluations=0)).metrics == {}


def test_nothing_is_measured_again_without_a_command_for_it(tmp_path: Path) -> None:
    bench = Bench(tmp_path, python(SAVES + SCORES))
    first = bench.done(task())
    for given in (task(evaluations=2), after(first, kind="evaluate", stop=5)):
        assert "without `evaluate` cannot measure again" in bench.failed(given).error


def test_an_evaluation_that_fails_fails(tmp_path: Path) -> None:
    bench = Bench(tmp_path, python(SAVES, metrics=LOSS, evaluate="false {restore}"))
    assert "with exit code 1 and said nothing" in bench.failed(task()).error


# Ending early --------------------------------------------------------------------------

LOOP = """
import signal, time
stopping = []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
step = told['start']
print('loss 9', flush=True)
"""


def stopping(folder: Path, code: str, **options: Any) -> Bench:
    """A bench whose worker asks each trial to stop once it has measured something."""
    bench = Bench(folder, python(LOOP + code, metrics=LOSS, step=r"epoch (\d+)", **options))
    emit = bench.measured.append

    class Emitter(list[Measured]):
        def append(self, report: Measured) -> None:
            emit(report)
            bench.stopping = True

    bench.measured = Emitter()
    return bench


def test_a_program_that_saves_when_told_to_stop_is_gone_on_from(tmp_path: Path) -> None:
    bench = stopping(
        tmp_path,
        "print('epoch 1 loss 8')\nwhile not stopping: time.sleep(0.001)\n"
        "(save / 'x').write_text('early')\nprint('epoch 2 loss 7')",
    )
    report = bench.done(task())
    assert (report.reached, report.metrics) == (2, {"loss": 7})
    assert bench.saved(report, "x") == "early"


def test_a_program_that_cannot_save_loses_its_weights_but_not_its_lane(tmp_path: Path) -> None:
    bench = stopping(tmp_path, "(save / 'x').touch()\nprint('epoch 3 loss 8')\ntime.sleep(1000)",
                     grace_s=0.2)  # fmt: skip
    report = bench.done(task())
    assert (report.reached, report.metrics, report.checkpoint) == (3, {}, None)


def test_one_that_does_not_say_where_it_stopped_failed(tmp_path: Path) -> None:
    code = "print('epoch 0 loss 8')\ntime.sleep(1000)".replace("epoch 0 ", "")
    bench = Bench(tmp_path, python(LOOP + code, metrics=LOSS, grace_s=0.2))
    bench.stopping = True
    failed = bench.failed(task())
    assert "told to stop and ended by SIG" in failed.error
    assert "save and exit with 0 on SIGTERM, or give `step`" in failed.error


def test_one_that_has_ended_by_itself_meanwhile_is_finished(tmp_path: Path) -> None:
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    code = deaf + SAVES + "print('epoch 4 loss 8')\nprint('epoch 5 loss 7')"
    bench = stopping(tmp_path, code)
    assert bench.done(task()).reached == 5
