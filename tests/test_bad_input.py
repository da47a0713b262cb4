"""What goes wrong on users' machines: one clear message that names the thing and the remedy, no
traceback of ours, nothing lost, and the same command goes on once the cause is removed."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import heredity
import heredity as hd
from heredity.evolution import events as ev
from heredity.evolution.population import Population
from toys import NAME, events_of

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
}
"""With this folder on the search path, for the toy."""

HEAD = """
import json, os, sys, threading
from pathlib import Path
import heredity as hd
from toys import Toy
"""

TOY = """
class Mine(Toy):
    pass
"""

STUDY = """
study = hd.Study(
    Mine, hd.Space(lr=hd.LogUniform(1e-4, 1e-1)), objective=hd.minimize("loss"), population=4,
    interval=5, budget=hd.Steps(30), name="toy", storage="runs", final_evaluations=2,
)
"""


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    def says(self, *parts: str) -> None:
        """Assert one message with all parts, and no line of our own code."""
        shown = " ".join(self.err.split())
        for part in parts:
            assert part in shown, f"{part!r} is not in:\n{self.err}"
        assert self.err.count("error: ") == 1, self.err
        assert str(Path(heredity.__file__).parent) not in self.err


class Desk:
    """A folder in which somebody runs `heredity run study.py`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"

    def write(self, trainable: str = TOY, study: str = STUDY) -> None:
        (self.folder / "study.py").write_text(HEAD + trainable + study)

    def run(
        self, *options: str, command: str = "run study.py", limit: Callable[[], None] | None = None
    ) -> Outcome:
        program = [sys.executable, "-c", "from heredity.cli import main; main()"]
        done = subprocess.run(
            [*program, *command.split(), *options],
            cwd=self.folder,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=120,
            preexec_fn=limit,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def ends(self, *options: str) -> Population:
        """Assert that the study runs to its end."""
        done = self.run(*options)
        assert done.code == 0, done.err
        population = Population.fold(events_of(self.runs))
        assert population.status == "ended"
        assert population.spent.tolist() == [30] * 4
        return population


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# The user's code -----------------------------------------------------------------------------

CODE = {
    "a bug in the first line of train": (
        """
class Mine(Toy):
    def train(self, steps):
        undefined_name
""",
        7,
        ("NameError: name 'undefined_name' is not defined", "run the same command again"),
    ),
    "a typo in an hparam": (
        """
class Mine(Toy):
    def train(self, steps):
        self.x -= self.hparams["lrr"]
""",
        7,
        ("lrr", "Did you mean `lr`?"),
    ),
    "a typo in the metric": (
        """
class Mine(Toy):
    def evaluate(self):
        return {"los": self.x}
""",
        7,
        ("no metric `loss`", "Did you mean `los`?"),
    ),
    "a declared hparam that nothing uses": (
        """
class Mine(Toy):
    def train(self, steps):
        self.x *= 0.9
""",
        7,
        ("nothing used the hparam `lr`", "take it out of the space"),
    ),
    "a full disk, as user code sees it": (
        """
class Mine(Toy):
    def save(self, directory):
        with open("/dev/full", "w") as file:
            file.write("x" * 100_000)
""",
        7,
        ("No space left on device", "run the same command again"),
    ),
}


@pytest.mark.parametrize("case", CODE)
def test_wrong_code_pauses_the_study_and_right_code_goes_on(desk: Desk, case: str) -> None:
    trainable, code, message = CODE[case]
    desk.write(trainable)
    done = desk.run("--inline")
    assert done.code == code
    done.says(*message)
    paused = Population.fold(events_of(desk.runs))
    assert (paused.status, paused.ended_count) == ("paused", 0)
    desk.write()
    desk.ends("--inline")


SHIPPING = {
    "a class that cannot be pickled": (
        "lock = threading.Lock()\nclass Mine(Toy):\n    def prepare(self):\n        lock\n",
        ("the global `lock`", "Make it in prepare()"),
    ),
    "a global of 100 MB": (
        "data = os.urandom(100 << 20)\n"
        "class Mine(Toy):\n    def prepare(self):\n        len(data)\n",
        ("the global `data` (bytes, 100 MB)", "Make it in prepare()"),
    ),
    "a module that workers cannot import": (
        "class Mine(Toy):\n    def prepare(self):\n        import nowhere_to_be_found\n",
        ("No module named 'nowhere_to_be_found'",),
    ),
}


@pytest.mark.parametrize("case", SHIPPING)
def test_what_workers_cannot_have_is_named(desk: Desk, case: str) -> None:
    """A study in a script is sent by value, with its globals."""
    trainable, message = SHIPPING[case]
    desk.write(trainable, STUDY + '\nif __name__ == "__main__":\n    study.run(hd.Processes(1))\n')
    done = subprocess.run(
        [sys.executable, "study.py"],
        cwd=desk.folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    for part in message:
        assert part in done.stderr
    desk.write()
    desk.ends("--workers", "1")


def test_a_save_that_forgets_the_optimizer_is_caught_before_the_study(desk: Desk) -> None:
    desk.write(
        """
class Mine(Toy):
    def setup(self, hparams, seed):
        super().setup(hparams, seed)
        self.velocity = 0.0

    def train(self, steps):
        for _ in range(steps):
            self.velocity = 0.9 * self.velocity - self.hparams["lr"] * 2 * self.x
            self.x += self.velocity
"""
    )
    done = desk.run("--check")
    assert done.code == 1
    assert "training does not go on after a load" in done.out
    assert "optimizer state" in done.out
    desk.write()
    assert desk.run("--check").code == 0


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_study_in_which_everything_diverges_says_so(desk: Desk, value: str) -> None:
    desk.write(
        f"""
class Mine(Toy):
    def evaluate(self):
        return self.x * 0 + float("{value}")
"""
    )
    population = desk.ends("--inline")
    assert population.diverged == population.ended_count == 24
    with pytest.raises(hd.NotFound, match=f"no score: 24 trials diverged.* loss is {value}"):
        _ = hd.open(NAME, desk.runs).best


# Names ---------------------------------------------------------------------------------------


def test_a_typo_in_a_name_is_answered_with_the_likely_one(desk: Desk) -> None:
    desk.write()
    desk.ends("--inline")
    wrong = desk.run(command="status tpy")
    assert wrong.code == 4
    wrong.says("no study 'tpy'", "Did you mean `toy`?")
    wrong = desk.run(command="run study.py:stdy")
    assert wrong.code == 4
    wrong.says("defines no study 'stdy'", "Did you mean `study`?")
    wrong = desk.run(command="status toy --storage rums")
    assert wrong.code == 4
    wrong.says("no studies in 'rums'")


def test_a_changed_definition_is_refused_and_the_old_one_goes_on(desk: Desk) -> None:
    desk.write()
    desk.ends("--inline")
    desk.write(study=STUDY.replace("interval=5", "interval=6"))
    done = desk.run("--inline")
    assert done.code == 2
    done.says("interval: was 5, now 6", "another name")
    desk.write()
    desk.ends("--inline")


# The disk ------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(desk: Desk) -> Iterator[Path]:
    """`runs` on a disk of its own, of 4 MB."""
    desk.runs.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(desk.runs)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes root")
    yield desk.runs
    subprocess.run(["umount", "-l", str(desk.runs)], check=True)


BALLAST = """
class Mine(Toy):
    \"\"\"Saves 200 kB; during trial 9 something takes all the disk but `LEAVE` bytes.\"\"\"

    def train(self, steps):
        super().train(steps)
        filler = Path("runs/filler")
        if self.session.trial >= 9 and not Path("calm").exists() and not filler.exists():
            free = os.statvfs("runs").f_bavail * os.statvfs("runs").f_frsize
            filler.write_bytes(b"x" * max(0, free - LEAVE))

    def save(self, directory):
        super().save(directory)
        (directory / "ballast").write_bytes(b"x" * 200_000)
"""


@pytest.mark.parametrize(
    ("leave", "code", "message"),
    [
        (150_000, 7, ("No space left on device", "checkpoints cannot be kept in")),
        (0, 5, ("the disk is full", "heredity.db")),
    ],
    ids=["checkpoints", "database"],
)
def test_a_disk_that_fills_up_loses_nothing(
    desk: Desk, small_disk: Path, leave: int, code: int, message: tuple[str, ...]
) -> None:
    desk.write(BALLAST.replace("LEAVE", str(leave)))
    done = desk.run("--inline")
    assert done.code == code, done.err
    done.says(*message)
    before = list(events_of(desk.runs))
    (small_disk / "filler").unlink()
    (desk.folder / "calm").touch()
    desk.ends("--inline")
    assert list(events_of(desk.runs))[: len(before)] == before


def test_a_disk_that_is_too_small_is_foreseen(desk: Desk, small_disk: Path) -> None:
    desk.write(BALLAST.replace("200_000", "400_000"))
    done = desk.run("--inline")
    assert done.code == 1
    done.says("checkpoints will take up to", "make room, or choose another storage")
    assert Population.fold(events_of(desk.runs)).ended_count == 1


def test_a_database_that_may_not_grow_loses_nothing(desk: Desk) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    desk.write()
    done = desk.run("--inline", limit=limit)
    assert done.code == 5
    done.says("heredity.db failed")
    before = list(events_of(desk.runs))
    assert len(before) > 5
    desk.ends("--inline")
    assert list(events_of(desk.runs))[: len(before)] == before


def test_a_folder_that_is_read_only_is_named(desk: Desk, small_disk: Path) -> None:
    remount = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(remount, check=True)
    desk.write()
    done = desk.run("--inline")
    assert done.code == 5
    done.says("runs/heredity.db failed", "this user may write there")
    subprocess.run([*remount[:2], "remount,rw", str(small_disk)], check=True)
    desk.ends("--inline")


def test_a_database_that_is_none_is_named_and_its_copy_goes_on(desk: Desk) -> None:
    desk.write()
    desk.ends("--inline")
    database, copy = desk.runs / "heredity.db", desk.runs / "copy"
    shutil.copy(database, copy)
    database.write_bytes(b"nothing that a database begins with" * 100)
    done = desk.run("--inline")
    assert done.code == 5
    done.says("heredity.db failed", "it is not an SQLite database")
    copy.replace(database)
    desk.ends("--inline")


def test_a_damaged_checkpoint_costs_its_lane_two_attempts(desk: Desk) -> None:
    desk.write(study=STUDY.replace("Steps(30)", "Steps(15)"))
    assert desk.run("--workers", "1").code == 0
    best = desk.runs / NAME / "best" / "x.json"
    damaged = hd.open(NAME, desk.runs).best.trial.id
    text = bytearray(best.read_bytes())
    text[0] ^= 1
    best.write_bytes(text)
    desk.write()
    population = desk.ends("--workers", "1")
    failures = [e for e in events_of(desk.runs) if isinstance(e, ev.TrialFailed)]
    assert len(failures) == 2
    assert "has the right size but not the bytes that were saved" in failures[0].error
    assert not population.has_checkpoint(damaged)
    assert (desk.runs / NAME / "best" / "x.json").is_file()
