"""Templates: placeholders, braces, optional parts; and that no value ever becomes two words."""

from __future__ import annotations

import shlex
import subprocess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heredity.trainables.command.template import (
    as_shell_text,
    as_text,
    fill,
    literal,
    placeholders,
    template,
)

VALUES: dict[str, Any] = {"lr": 1e-05, "flag": True, "save": "a b/'c'", "restore": None}
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def words(command: Any, **changes: Any) -> list[str]:
    return template(command, shell=False).filled({**VALUES, **changes})


def test_placeholders_become_values() -> None:
    assert words("train --lr={lr} {flag} {save}") == ["train", "--lr=1e-05", "true", "a b/'c'"]


def test_double_braces_are_braces() -> None:
    assert words(["awk", "{{ print {lr} }}", "{{lr}}"]) == ["awk", "{ print 1e-05 }", "{lr}"]


@pytest.mark.parametrize(
    ("command", "first", "later"),
    [
        ("a [--from {restore}] b", "a b", "a --from R b"),
        ("a [--from {restore} | --new x] b", "a --new x b", "a --from R b"),
        ("a [--from {restore}|--new x] b", "a --new x b", "a --from R b"),
        ("a ['x y' {restore} | 'z w']", "a 'z w'", "a 'x y' R"),
        ("a [a|b] [|]", "a [a|b]", "a [a|b]"),
        ("a [|--new] b [{restore}]", "a --new b", "a b R"),
        ("a [--old|] b [ {restore} ]", "a b", "a --old b R"),
        ("a [ --from {restore} | --new ]", "a --new", "a --from R"),
        ("[resume {restore} | start] a", "start a", "resume R a"),
        ("a --resume=[{restore}] [{restore}]", None, None),
        ("a [1,2] [ -f x ] [ b", "a [1,2] [ -f x ] [ b", "a [1,2] [ -f x ] [ b"),
        ("a [1, 2] [{restore}/x.pt]", "a [1, 2]", "a [1, 2] R/x.pt"),
    ],
)
def test_optional_parts(command: str, first: str | None, later: str | None) -> None:
    if first is None or later is None:
        with pytest.raises(ValueError, match="nothing to restore"):
            words(command)
        return
    assert words(command) == shlex.split(first)
    assert words(command, restore="R") == shlex.split(later)


def test_evaluations_always_have_something_to_restore() -> None:
    test = template("test {restore} [--again {restore}]", shell=False, restores=True)
    assert test.filled({"restore": "R"}) == ["test", "R", "--again", "R"]


def test_an_optional_part_may_be_one_word_of_a_list() -> None:
    command = ["a b", "[--from {restore} | --new 'x y']"]
    assert words(command) == ["a b", "--new", "x y"]
    assert words(command, restore="R S") == ["a b", "--from", "R S"]


@given(TEXT)
def test_a_value_stays_one_word(value: str) -> None:
    assert words("a {save} b", save=value) == ["a", value, "b"]
    assert words("a x={save}y", save=value) == ["a", f"x={value}y"]


@given(TEXT, TEXT)
def test_a_value_stays_one_word_of_a_shell(value: str, restore: str) -> None:
    text = template("a {save} {restore} b", shell=True).filled({"save": value, "restore": restore})
    assert shlex.split(text[-1]) == ["a", value, restore, "b"]


def test_a_real_shell_takes_it_as_one_word() -> None:
    value = "$HOME `id` \"x\" 'y' \\ \n * ; #"
    told = template("printf '%s|' {save} {restore} x", shell=True)
    done = subprocess.run(
        told.filled({"save": value, "restore": None}), capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{value}||x|"


def test_brackets_are_the_shells_own() -> None:
    told = template("[ -z {restore} ] || x", shell=True)
    assert told.filled({"restore": None}) == ["/bin/sh", "-c", "[ -z '' ] || x"]


@given(st.one_of(st.floats(allow_nan=False), st.integers()))
def test_numbers_read_back_equal(value: float) -> None:
    assert type(value)(as_text(value)) == value


@given(TEXT)
def test_text_with_doubled_braces_is_itself(text: str) -> None:
    assert list(placeholders(literal(text))) == []
    assert fill(literal(text), {}) == text


def test_the_names_in_use() -> None:
    told = template("a {lr} [{restore} {stop} | {start}] {{seed}}", shell=False)
    assert told.names(restoring=True) == {"lr", "restore", "stop"}
    assert told.names(restoring=False) == {"lr", "start"}


def test_nothing_is_quoted_as_nothing() -> None:
    assert as_shell_text(None) == "''"
