"""What is recorded of a study is enough to run its trials elsewhere."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest

import heredity as hd
import toys
from heredity.errors import HeredityError, UsageError
from heredity.evolution.budget import Finals
from heredity.recipe import (
    described,
    recipe_facts,
    settings_of,
    trainable_of,
    workload_of,
)
from heredity.settings import Settings


def train(session: hd.Session) -> None: ...


@pytest.mark.parametrize("source", [toys.Toy, train])
def test_what_has_a_name_is_imported_by_it(source: object) -> None:
    workload = json.loads(json.dumps(described(source)))
    made = trainable_of(workload)()
    assert type(made) is source or made.function is source  # type: ignore[attr-defined]


def test_what_has_none_has_no_recipe() -> None:
    def local(session: hd.Session) -> None: ...

    for source in (local, lambda session: None, functools.partial(train)):
        assert described(source) is None
        with pytest.raises(UsageError, match=r"'mine'.*no name to import"):
            workload_of("mine", recipe_facts(source, Settings()))


def test_what_a_script_defines_has_no_name_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "__module__", "__main__")
    assert described(train) is None


@pytest.mark.parametrize(
    "settings",
    [Settings(), Settings("lineage", Finals(0, 0), 5.0, 10**9), Settings(timeout_s=1.5)],
)
def test_settings_come_back(settings: Settings) -> None:
    assert settings_of(recipe_facts(toys.Toy, settings)) == settings


def test_a_study_that_says_nothing_has_the_defaults() -> None:
    assert settings_of({}) == Settings()


def test_a_study_records_them_when_it_begins(tmp_path: Path) -> None:
    study = toys.toy_study(tmp_path, keep="all")
    study.begin()
    code = study.result.population.code
    assert workload_of("toy", code) == {"import": "toys:Toy"}
    assert settings_of(code) == study.settings
    study.begin()
    assert len(toys.events_of(tmp_path)) == 1


@pytest.mark.parametrize("name", ["no_such_module:Toy", "toys:Nothing", "toys", "", "toys:Toy.x"])
def test_what_is_not_there_is_named(name: str) -> None:
    with pytest.raises(HeredityError, match=r"cannot import|takes|trains"):
        trainable_of({"import": name})
