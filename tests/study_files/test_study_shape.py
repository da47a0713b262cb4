"""The JSON Schema: it is made, valid, and says yes and no where reading does."""

from __future__ import annotations

import inspect
import tomllib
from importlib import resources
from typing import Any

import jsonschema_rs
import pytest

import heredity as hd
from heredity.study_files.kinds import KINDS
from heredity.study_files.shape import DIALECT, schema, top_level
from study_files.written import GOOD, SMALL

VALIDATOR = jsonschema_rs.validator_for(schema())
EXAMPLE = resources.files("heredity.study_files").joinpath("example.toml").read_text("utf-8")


def test_it_is_a_schema() -> None:
    jsonschema_rs.meta.validate(schema())
    assert schema()["$schema"] == DIALECT


@pytest.mark.parametrize("text", [GOOD, SMALL, EXAMPLE], ids=["good", "small", "example"])
def test_it_accepts_what_can_be_read(text: str) -> None:
    VALIDATOR.validate(tomllib.loads(text))


@pytest.mark.parametrize(
    "change",
    [
        ("interval = 50", ""),
        ("interval = 50", "interval = 0"),
        ("interval = 50", "interval = true"),
        ("seed = 3", "sead = 3"),
        ("maximize accuracy", "maximise accuracy"),
        ('"LogUniform"', '"LogUnifrom"'),
        ("low = 1e-4", "lo = 1e-4"),
        ("high = 1.0", 'high = "1.0"'),
        ("bounds = [1e-6, 1.0]", "bounds = [1e-6, 1.0, 2.0]"),
        ('mode = "sync"', 'mode = "sink"'),
        ("workers = 2", "workers = 2.5"),
        ('"none"', '"nothing"'),
        ("seconds", "second"),
        ("metrics.accuracy", "metric.accuracy"),
        ('keep = "lineage"', 'trainable = "no class"'),
    ],
)
def test_it_refuses_what_cannot(change: tuple[str, str]) -> None:
    assert change[0] in GOOD
    assert not VALIDATOR.is_valid(tomllib.loads(GOOD.replace(*change)))


def test_the_keys_are_the_arguments_of_a_study() -> None:
    arguments = list(inspect.signature(hd.Study).parameters)
    assert set(top_level()) == {*arguments, "command", "executor"}


def test_it_describes_every_class_and_every_key() -> None:
    described: dict[str, Any] = schema()["$defs"]
    assert set(KINDS) | {"Command"} <= set(described)
    assert all(described[name]["description"] for name in KINDS)
    keys = schema()["properties"]
    assert [name for name in keys if "description" not in keys[name]] == ["command"]
    assert not [name for name in keys if "hd." in keys[name].get("description", "")]
    assert keys["population"]["default"] == 16
    assert described["PBT"]["properties"]["mode"]["default"] == "async"
