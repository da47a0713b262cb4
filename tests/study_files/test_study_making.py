"""What the classes refuse, and the objects that a file's tables become."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings

import heredity as hd
from heredity.describe import describe
from heredity.study_files import load, read
from heredity.testing.strategies import algorithms, spaces
from study_files.written import GOOD, SMALL, refused, toml, written

SMALL_HPARAM = next(line for line in SMALL.splitlines(True) if line.startswith("lr"))

OF_A_CLASS = 'trainable = "toys:Toy"\n' + SMALL[: SMALL.index("[command]")]
"""The same study of a class, which can do what a command cannot, such as ramps."""

REFUSALS = {
    "a name that is none": ("digits", "two words", "line 2", "letters, digits"),
    "an hparam's prior": ("low = 1e-4", "low = 0.0", "line 12", "space.lr: LogUniform"),
    "an hparam's name": ("width", "_width", "line 13", "does not start with an underscore"),
    "equal choices": ("64,", "32,", "line 17", "space.batch: Ordinal: choices must differ"),
    "a move": ("steps = 2", "steps = 0", "line 21", "space.batch.move: Neighbour"),
    "a move of another kind": ('"Neighbour", steps = 2', '"Scale"', "line 21", "cannot move"),
    "an empty space": (SMALL_HPARAM, "", "line 4", "a space needs an hparam"),
    "a limit": ("steps = 1_000", "steps = -1", "line 24", "budget.steps: Steps needs a positive"),
    "no limit": ("steps = 1_000\nseconds = 60.5\n", "", "line 23", "at least one limit"),
    "a strategy": ("0.25", "2.5", "line 29", "algorithm.exploit: "),
    "an executor": ("workers = 2", "workers = 0", "line 35", "workers must be a whole number"),
    "an initial value": ("lr = 0.01", "lr = 2.0", "line 9", "initial[1]: lr is 2.0, outside"),
    "an initial name": ("lr = 0.01", "lrr = 0.01", "line 9", "Did you mean `lr`?"),
    "too many initial": ("population = 6", "population = 1", "line 9", "initial gives 2 sets"),
    "a placeholder": ("{width}", "{widht}", "line 38", "Did you mean `width`?"),
    "an hparam not used": ("--w {width}", "", "line 38", "does not use the hparam `width`"),
    "a pattern": ("([0-9.]+)", "([0-9.]+", "line 39", "the pattern of `accuracy`"),
    "no trainable": (SMALL[SMALL.index("[command]") :], "", "line 1", "needs a [command]"),
    "two trainables": ("seed = 3", 'trainable = "json:load"', "line 6", "not both"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_a_class_refuses_is_told_with_its_line(name: str, tmp_path: Path) -> None:
    before, after, line, expected = REFUSALS[name]
    text = GOOD if before in GOOD else SMALL
    assert before in text
    said = refused(tmp_path, text.replace(before, after))
    assert said.startswith(f"{line}: ")
    assert expected in said
    assert "\n" not in said


def test_a_template_of_many_lines_is_told_on_one(tmp_path: Path) -> None:
    written = '''command = """
train {lr} {sead}
  {save} [{restore}]
"""'''
    said = refused(tmp_path, SMALL.replace('command = "train {lr} {save} [{restore}]"', written))
    line = SMALL[: SMALL.index("command =")].count("\n") + 1
    assert said.startswith(
        f"line {line}: {{sead}} in 'train {{lr}} {{sead}} {{save}} [{{restore}}]'"
    )


@given(space=spaces(), algorithm=algorithms())
@settings(max_examples=100)
def test_any_space_and_algorithm_can_be_written(space: hd.Space, algorithm: hd.Algorithm) -> None:
    """Whatever describes itself as JSON, in a study's definition, has its words in study files."""
    described = describe(space)["items"]
    text = OF_A_CLASS.replace(SMALL_HPARAM, "")
    text = text.replace(
        "[budget]", "".join(f"{n} = {toml(p)}\n" for n, p in described) + "[budget]"
    )
    text = text.replace("interval", f"algorithm = {toml(describe(algorithm))}\ninterval")
    study = study_in(text)
    assert study.definition.space == space
    assert study.definition.algorithm == algorithm


def test_a_ramp_that_a_command_cannot_take_is_told_with_its_line(tmp_path: Path) -> None:
    ramps = SMALL.replace("[space]", '[algorithm]\ntype = "PBT"\nramp = 0.5\n[space]')
    line = ramps[: ramps.index("ramp =")].count("\n") + 1
    said = refused(tmp_path, ramps)
    assert said.startswith(
        f"line {line}: ramp is not 0, but a command gets its hparams when it starts"
    )


def test_a_choice_may_be_called_none() -> None:
    kinds = 'a = { type = "Constant", value = "none" }\n'
    kinds += 'b = { type = "Categorical", choices = ["none", "relu"] }\n'
    text = SMALL.replace(SMALL_HPARAM, kinds).replace("{lr}", "{a} {b}")
    space = hd.Space(a=hd.Constant("none"), b=hd.Categorical(["none", "relu"]))
    assert study_in(text).definition.space == space


@pytest.mark.parametrize(
    "algorithm",
    [
        hd.PBT(exploit=None, explore=None, ready=hd.Every(100), copy="weights", compare="latest"),
        hd.PBT(hd.TTest(0.1, 5), hd.Shift(fraction=0.1), mode="sync", ramp=0.5, measure=0.5),
        hd.PBT(hd.Deadband(1.0), hd.Perturb(0.25), average=3),
        hd.PBT(hd.Tournament(), hd.Keep()),
        hd.Generational(hd.Resample(), crossover=0.5, weights=(1.0, 2.0)),
        hd.Generational(None),
        hd.Stopping(hd.PBT(average=2), hd.Median(0.25, 4)),
        hd.Stopping(hd.RandomSearch(2)),
    ],
    ids=repr,
)
def test_every_algorithm_can_be_written(algorithm: hd.Algorithm) -> None:
    objectives = 'objective = ["minimize loss", "maximize size"]\npopulation = 8\n'
    text = OF_A_CLASS.replace('objective = "minimize loss"\n', objectives)
    study = study_in(f"algorithm = {toml(describe(algorithm))}\n{text}")
    assert study.definition.algorithm == algorithm


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ('{ type = "Inline" }', hd.Inline()),
        ('{ type = "Processes", threads = 1 }', hd.Processes(threads=1)),
        ('{ type = "Vectorized", chunk = "auto", block = 3 }', hd.Vectorized(block=3)),
        ('{ type = "Vectorized", chunk = 8 }', hd.Vectorized(chunk=8)),
    ],
)
def test_every_executor_can_be_written(table: str, expected: object, tmp_path: Path) -> None:
    assert read(written(tmp_path, f"executor = {table}\n{SMALL}")).executor == expected


def test_every_setting_reaches_the_study(tmp_path: Path) -> None:
    settings_ = "trial_timeout_s = 1.5\ndisk_limit_bytes = 7\nkeep = 'all'\nfinalists = 4\n"
    study = load(written(tmp_path, settings_ + SMALL))
    assert (study.settings.timeout_s, study.settings.disk_limit_bytes) == (1.5, 7)
    assert (study.settings.keep, study.settings.finals.count) == ("all", 4)


def test_a_command_runs_where_its_file_is(tmp_path: Path) -> None:
    """Also in a folder with braces in its name, which are no placeholders."""
    folder = tmp_path / "a {b}"
    folder.mkdir()
    for words, expected in {
        "": (f"{tmp_path}/a {{b}}", None),
        'home = "../c"': (f"{tmp_path}/c", None),
        'cwd = "sub"': (f"{tmp_path}/a {{b}}", "sub"),
        'cwd = "/else/where"': (f"{tmp_path}/a {{b}}", "/else/where"),
        'cwd = "{work}"': (f"{tmp_path}/a {{b}}", "{work}"),
    }.items():
        study = load(written(folder, f"{SMALL}{words}\n"))
        (command,) = study.make.args  # type: ignore[attr-defined]
        assert (command.home, command.cwd) == expected


def test_storage_is_relative_to_the_file_unless_it_is_no_folder(tmp_path: Path) -> None:
    assert load(written(tmp_path, SMALL)).storage == str(tmp_path / "runs")
    for words, expected in {
        "../there": f"{tmp_path}/../there",
        "/else/where": "/else/where",
        ":memory:": ":memory:",
        "postgresql://host/studies": "postgresql://host/studies",
    }.items():
        study = load(written(tmp_path, f'storage = "{words}"\n{SMALL}'))
        assert study.storage == expected


def study_in(text: str) -> hd.Study:
    with tempfile.TemporaryDirectory() as folder:
        return load(written(Path(folder), text))
