"""A study file makes the study that its words make in Python, or is refused with a line."""

from __future__ import annotations

import re
import tomllib
from importlib import resources
from pathlib import Path

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import heredity as hd
from heredity.study_files import load, read
from heredity.study_files.kinds import KINDS
from heredity.study_files.preview import preview
from heredity.study_files.shape import schema, top_level
from study_files.written import GOOD, SMALL, refused, written

EXAMPLE = resources.files("heredity.study_files").joinpath("example.toml").read_text("utf-8")


def in_python(storage: Path) -> hd.Study:
    """What `GOOD` says."""
    return hd.Study(
        hd.Command(
            "train --lr {lr} --w {width} --b {batch} --out {save} [--from {restore}]",
            metrics={"accuracy": "accuracy ([0-9.]+)"},
        ),
        hd.Space(
            lr=hd.LogUniform(1e-4, 1.0, bounds=(1e-6, 1.0)),
            width=hd.Integer(1, 4, move=hd.Keep()),
            batch=hd.Ordinal([32, 64], move=hd.Neighbour(2)),
        ),
        objective=hd.maximize("accuracy"),
        population=6,
        interval=50,
        budget=[hd.Steps(1_000), hd.Seconds(60.5)],
        algorithm=hd.PBT(exploit=hd.Truncation(0.25), explore=None, mode="sync"),
        name="digits",
        storage=storage,
        seed=3,
        initial=[{"lr": 0.1}, {"width": 2, "lr": 0.01}],
        keep="lineage",
        finalists=2,
    )


def test_it_is_the_study_that_python_makes(tmp_path: Path) -> None:
    described = read(written(tmp_path, GOOD))
    study, other = described.study, in_python(tmp_path / "runs")
    assert study.definition.as_json() == other.definition.as_json()
    assert study.definition == other.definition
    assert (study.name, study.budget, study.settings) == (other.name, other.budget, other.settings)
    assert study.folder == other.folder
    assert described.executor == hd.Processes(2)


def test_what_is_left_out_has_the_defaults_of_python(tmp_path: Path) -> None:
    described = read(written(tmp_path, SMALL))
    command = hd.Command("train {lr} {save} [{restore}]", metrics={"loss": "loss ([0-9.]+)"})
    other = hd.Study(
        command,
        hd.Space(lr=hd.LogUniform(1e-4, 1.0)),
        objective=hd.minimize("loss"),
        interval=10,
        budget=hd.Steps(100),
        name="small",
    )
    assert described.study.definition == other.definition
    assert described.study.settings == other.settings
    assert described.executor is None


def test_a_trainable_in_place_of_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [])
    (tmp_path / "climbing_beside.py").write_text("def train(session): ...\n")
    text = 'trainable = "climbing_beside:train"\n' + SMALL[: SMALL.index("[command]")]
    study = load(written(tmp_path, text))
    assert study.definition.trainable == "function"


def test_loading_touches_nothing(tmp_path: Path) -> None:
    load(written(tmp_path, GOOD))
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(hd.NotFound, match="heredity init"):
        load(tmp_path / "study.toml")
    with pytest.raises(hd.UsageError, match="cannot be read"):
        load(tmp_path)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(b"# fine\nname = '\xff'\n")
    with pytest.raises(hd.UsageError, match="line 2: this is not text in UTF-8"):
        load(path)


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("a = 1\nb = oh\n", 2, "no TOML at column 5"),
        ("a = 1\na = 2\n", 2, "no TOML at column"),
        ("a = 1\n[b]\nc = 1\n[b]\n", 4, "no TOML at column"),
        ("a = 1\nb = [\n  1,\n\n", 2, "what begins here is no TOML"),
        ("a = 1\n\nb = '''\ntext\n", 3, "what begins here is no TOML"),
        ("a = 1\nb =", 2, "Invalid value"),
        (f"a = 1\nb = {'1' * 5000}\n", 2, "what begins here is no TOML"),
        (f"a = 1\nb = {'[' * 5000}\n", 2, "nested too deeply"),
    ],
)
def test_what_is_no_toml_is_told_with_its_line(
    text: str, line: int, why: str, tmp_path: Path
) -> None:
    said = refused(tmp_path, text)
    assert said.startswith(f"line {line}: ")
    assert why in said


# Corruptions ------------------------------------------------------------------------------------


@st.composite
def corrupted(draw: st.DrawFn) -> str:
    """A good file after a few slips of a hand."""
    text = draw(st.sampled_from([GOOD, SMALL, EXAMPLE]))
    for _ in range(draw(st.integers(1, 4))):
        text = draw(st.sampled_from([_slip, _line_slip, _word_slip]))(draw, text)
    return text


def _slip(draw: st.DrawFn, text: str) -> str:
    """A few characters become others."""
    begin = draw(st.integers(0, len(text)))
    end = begin + draw(st.integers(0, 3))
    return text[:begin] + draw(st.text('ae=[]{}",.-#\n\t 019é\x00', max_size=3)) + text[end:]


def _line_slip(draw: st.DrawFn, text: str) -> str:
    """A line goes away, comes twice, or comes elsewhere."""
    lines = text.splitlines(keepends=True)
    line = lines.pop(draw(st.integers(0, len(lines) - 1)))
    for _ in range(draw(st.integers(0, 2))):
        lines.insert(draw(st.integers(0, len(lines))), line)
    return "".join(lines) or "\n"


def _word_slip(draw: st.DrawFn, text: str) -> str:
    """One word or number stands where another did."""
    words = list(re.finditer(r"[\w.]+", text)) or [re.match("", text)]
    word = draw(st.sampled_from(words))
    others = [w[0] for w in words if w] + [
        "-1",
        "true",
        "[]",
        "{}",
        '"none"',
        "1e999",
        "{ type = 1 }",
    ]
    assert word is not None
    return text[: word.start()] + draw(st.sampled_from(others)) + text[word.end() :]


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")  # of patterns, by the module re
@given(text=corrupted())
@example(text="[space]\nlr = 3")
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_slip_is_told_with_a_line_or_does_no_harm(text: str, tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(text.encode())
    last = max(1, len(text.splitlines()))
    for line in told(path):
        place = re.match(rf"{re.escape(str(path))}, line (\d+): .", line)
        assert place, line
        assert 1 <= int(place[1]) <= last, line


def told(path: Path) -> list[str]:
    """What is wrong with a file, line by line."""
    try:
        load(path)
    except hd.UsageError as error:
        return str(error).splitlines()
    return []


# Documentation ----------------------------------------------------------------------------------

DOCUMENT = Path(__file__).parents[2] / "docs" / "study-files.md"
BLOCKS = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


def test_the_documents_study_can_be_read(tmp_path: Path) -> None:
    study = load(written(tmp_path, BLOCKS[0]))
    assert preview(study, 1).command is not None


@pytest.mark.parametrize("block", BLOCKS[1:], ids=range(1, len(BLOCKS)))
def test_the_documents_fragments_fit_a_study(block: str) -> None:
    fragment = {key: value for key, value in schema().items() if key != "required"}
    jsonschema_rs.validate(fragment, tomllib.loads(block))


def test_the_document_names_every_key_and_type() -> None:
    text = DOCUMENT.read_text()
    names = [*top_level(), *KINDS]
    assert [name for name in names if not re.search(rf"`\[?{name}\b", text)] == []
