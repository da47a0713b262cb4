"""Names, kinds, facts about code, and what two definitions differ in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import heredity as hd
from heredity.origin import code_facts, compare
from heredity.study import study_name, trainable_kind
from heredity.trainables.function import as_trainable
from toys import Toy, toy_study


@pytest.mark.parametrize("name", ["a", "digits-2", "x.y_z", "0", "_", "a" * 100])
def test_names_of_folders_are_names_of_studies(name: str) -> None:
    assert study_name(name) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a/b", "a b", "-x", ".x", "a\n", "é", "a" * 101, None, 5, "heredity.db"]
)
def test_other_names_are_refused(name: Any) -> None:
    with pytest.raises(hd.UsageError, match="study"):
        study_name(name)


def test_kinds_of_trainables() -> None:
    def train(session: hd.Session) -> None: ...

    assert trainable_kind(as_trainable(Toy)) == "class"
    assert trainable_kind(as_trainable(lambda: Toy())) == "class"
    assert trainable_kind(as_trainable(train)) == "function"


def test_what_is_known_of_code() -> None:
    facts = code_facts(Toy)
    source = Path(__file__).with_name("toys.py")
    assert facts["trainable"] == "Toy"
    assert facts["sha256"] == hashlib.sha256(source.read_bytes()).hexdigest()
    assert facts["heredity"] == hd.__version__
    assert {"python", "numpy"} <= facts.keys()


def test_a_command_is_known_by_its_words() -> None:
    command = hd.Command("./train --lr {lr} --out {save} [--from {restore}]", step=r"epoch (\d+)")
    facts = code_facts(command)
    assert facts["trainable"] == "Command"
    assert hd.Command.from_json(json.loads(facts["command"])) == command
    assert "sha256" not in facts
    assert "command" not in code_facts(Toy)


def _step(*arguments: Any) -> Any: ...


def _vector(framework: str, form: str) -> Any:
    """A trainable whose functions are of this file, and whose class is not."""
    if framework == "jax":
        from heredity.jax import VectorTrainable

        given = partial(_step, 1) if form == "partial" else _step
        return VectorTrainable(_step, given, _step)
    from heredity.torch import SGD
    from heredity.torch import VectorTrainable as Torch

    return (
        Torch.of(_step, _step, _step) if form == "of" else Torch(_step, _step, SGD(), None, _step)
    )


@pytest.mark.parametrize(
    ("framework", "form"), [("jax", ""), ("jax", "partial"), ("torch", ""), ("torch", "of")]
)
def test_of_a_vector_trainable_the_file_of_the_step_is_known(framework: str, form: str) -> None:
    facts = code_facts(_vector(framework, form))
    assert facts["trainable"] == "VectorTrainable"
    assert facts["sha256"] == hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


class _Typed:
    """Like a class that was typed at a prompt: its module has no file."""


_Typed.__module__ = "__main__"


@pytest.mark.parametrize("source", [eval("lambda: None"), Toy(), print, _Typed])
def test_code_without_a_file_has_fewer_facts(source: Any) -> None:
    assert "python" in code_facts(source)


DEFINITION = toy_study().definition


def test_equal_definitions_are_equal_after_a_trip_through_json() -> None:
    compare("s", type(DEFINITION).from_json(DEFINITION.as_json()), DEFINITION)


@pytest.mark.parametrize(
    ("changes", "field", "was", "now"),
    [
        ({"seed": 1}, "seed", "0", "1"),
        ({"interval": 7}, "interval", "5", "7"),
        ({"trainable": "function"}, "trainable", "class", "function"),
        ({"sampling": "sobol"}, "sampling", "independent", "sobol"),
        ({"algorithm": hd.PBT(average=2)}, "algorithm.average", "1", "2"),
        ({"initial": ({"lr": 0.01},)}, "initial", "[]", "0.01"),
        ({"objectives": (hd.maximize("loss"),)}, "objectives", "minimize", "maximize"),
    ],
)
def test_each_difference_is_listed_with_both_values(
    changes: dict[str, Any], field: str, was: str, now: str
) -> None:
    with pytest.raises(hd.DefinitionMismatch) as caught:
        compare("s", DEFINITION, replace(DEFINITION, **changes))
    assert list(caught.value.differences) == [field]
    before, after = caught.value.differences[field]
    assert was in before
    assert now in after
    assert f"{field}: was {before}, now {after}" in str(caught.value)


def test_a_difference_in_the_space_names_the_hparam() -> None:
    spaces = [hd.Space(lr=hd.LogUniform(1e-4, 0.1)), hd.Space(lr=hd.LogUniform(1e-3, 0.1))]
    one, other = (replace(DEFINITION, space=space) for space in spaces)
    with pytest.raises(hd.DefinitionMismatch) as caught:
        compare("s", one, other)
    assert caught.value.differences["space.lr.low"] == ("0.0001", "0.001")
    assert all(field.startswith("space.lr") for field in caught.value.differences)
    more = replace(DEFINITION, space=hd.Space(lr=hd.LogUniform(1e-4, 0.1), b=hd.Uniform(0, 1)))
    with pytest.raises(hd.DefinitionMismatch) as caught:
        compare("s", one, more)
    assert caught.value.differences["space.b"][0] == "(not there)"


def test_the_remedy_names_the_storage(tmp_path: Path) -> None:
    with pytest.raises(hd.DefinitionMismatch) as caught:
        compare("s", DEFINITION, replace(DEFINITION, seed=1), tmp_path / "my runs")
    assert f"heredity rm s --storage '{tmp_path}/my runs'`" in str(caught.value)
    with pytest.raises(hd.DefinitionMismatch, match="`heredity rm s`"):
        compare("s", DEFINITION, replace(DEFINITION, seed=1))
