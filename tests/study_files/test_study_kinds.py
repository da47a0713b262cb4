"""A study file can name every public class, and every field of it."""

from __future__ import annotations

import dataclasses

import pytest

import heredity as hd
from heredity.evolution.early_stopping import StopRule
from heredity.evolution.exploit import Exploit
from heredity.evolution.explore import Explore
from heredity.space import Move
from heredity.space.parameters import Parameter
from heredity.study_files.kinds import KINDS, LIMITS, entries, fields_of
from heredity.trainables.command import Command

NAMED = Parameter, Move, Exploit, Explore, StopRule, hd.Algorithm, hd.Every
"""What a study is made of."""


def test_every_public_class_has_its_name() -> None:
    public = {name: getattr(hd, name) for name in hd.__all__ if name[0].isupper()}
    made_of = {name for name, cls in public.items() if issubclass(cls, NAMED)} - {"Algorithm"}
    executors = {name for name, cls in public.items() if hasattr(cls, "open")} - {"Result"}
    assert made_of | executors == set(KINDS)
    assert all(public[name] is cls for name, cls in KINDS.items())


def test_every_limit_of_a_budget_has_its_key() -> None:
    assert {cls.__name__.lower(): cls for cls in LIMITS.values()} == LIMITS
    assert all(len(fields_of(cls)) == 1 for cls in LIMITS.values())


@pytest.mark.parametrize("name", [*KINDS, "Command"])
def test_what_a_class_takes_is_what_a_file_may_give(name: str) -> None:
    cls = KINDS.get(name, Command)
    public = [f.name for f in dataclasses.fields(cls) if f.init and not f.name.startswith("_")]
    assert list(fields_of(cls)) == public


def test_none_can_be_said_where_it_is_not_the_default() -> None:
    assert fields_of(hd.PBT)["exploit"].nullable
    assert not fields_of(hd.Processes)["workers"].nullable
    assert not fields_of(hd.LogUniform)["low"].nullable


def test_editors_show_what_the_docstring_says() -> None:
    assert fields_of(hd.PBT)["ready"].text == "when a member may exploit."
    assert fields_of(hd.Study)["final_evaluations"].text.startswith("the best ones are measured")
    assert entries("No such section.") == {}
