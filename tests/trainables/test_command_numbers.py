"""Numbers in text: every number is taken whole, whatever the pattern allows for."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heredity.errors import TrainingError
from heredity.trainables.command.numbers import Pattern, json_object, numbers, with_any_number

NAIVE = Pattern("loss", r"val loss ([0-9.]+)")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("val loss 0.25", 0.25),
        ("val loss 0.25.", 0.25),
        ("val loss 1.5e-05, lr 3", 1.5e-05),
        ("val loss 2E+3", 2000),
        ("val loss -0.5", -0.5),
        ("val loss .5", 0.5),
        ("val loss inf", math.inf),
        ("val loss -Infinity", -math.inf),
        ("val loss 1, val loss 2", 2),
        ("train loss 1", None),
        ("val loss information", None),
        ("val loss ?", None),
    ],
)
def test_a_naive_pattern_takes_any_number(line: str, value: float | None) -> None:
    assert NAIVE.last(line) == value


@pytest.mark.parametrize("word", ["nan", "NaN", "-nan", "NAN"])
def test_a_naive_pattern_takes_nan(word: str) -> None:
    found = NAIVE.last(f"val loss {word}")
    assert found is not None
    assert math.isnan(found)


@given(st.floats(), st.sampled_from([r"([0-9.]+)", r"(\d+)", r"(\S+)", r"(.*)", r"([-.\d]+)$"]))
def test_every_float_is_taken_whole(value: float, group: str) -> None:
    found = Pattern("loss", f"loss: {group}").last(f"epoch 3 loss: {value}")
    assert found == value or (math.isnan(value) and found is not None and math.isnan(found))


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (r"loss \(val\) ([0-9.]+)", "loss (val) 7e-1"),
        (r"loss [(] (?P<value>\d+)", "loss ( 7e-1"),
        (r"(?:train|val) loss (?=\d)([0-9.]+)", "val loss 7e-1"),
        (r"(?i)LOSS (([0-9]+)\.([0-9]+))", "loss 7e-1"),
        (r"loss []()]+ (\d)", "loss (]) 7e-1"),
        (r"loss (?:is (\d)|was (\d))", "loss is 7e-1"),
        (r"(?:a(?:b))? (\d)", " 7e-1"),
        (r"loss ([a-z]|\d)", "loss 7e-1"),
    ],
)
def test_the_first_group_is_found(source: str, line: str) -> None:
    assert Pattern("loss", source).last(line) == 0.7
    assert re.compile(with_any_number(source)).groups == re.compile(source).groups


def test_what_follows_the_number_still_has_to_be_there() -> None:
    percent = Pattern("accuracy", r"([0-9]+)% right")
    assert percent.last("12 of 99.5% right") == 99.5
    assert percent.last("12 of 99.5 right") is None


def test_a_group_that_takes_no_number_is_an_error_that_shows_the_line() -> None:
    with pytest.raises(TrainingError, match="took 'abc' from the line 'loss abc', which is no"):
        Pattern("loss", r"loss (\w+)").last("loss abc")


@pytest.mark.parametrize(
    ("source", "line", "taken"),
    [
        (r"loss ([0-9.,]+)", "loss 1,234.5", "1,234.5"),
        (r"acc=([\d,]+)", "acc=0,953", "0,953"),
        (r"loss ([0-9.]+)", "loss 1,234.5", "1"),
        (r"acc=([0-9.]+)", "acc=0,953", "0"),
        (r"([0-9.]+)", "1'234.5", "234.5"),
        (r"loss ([0-9]+)", "loss 1_000", "1"),
        (r"loss ([0-9.]+)", "loss 1.2.3", "1.2.3"),
        (r"at (\S+)", "at 12:30", "12:30"),
        (r"at (\S+)", "at 0x1f", "0x1f"),
        (r"at (\S+)", "at 3abc", "3abc"),
        (r"at (.*)", "at 2024-01-02", "2024-01-02"),
    ],
)
def test_no_number_is_taken_out_of_what_is_more_than_that(
    source: str, line: str, taken: str
) -> None:
    with pytest.raises(TrainingError) as caught:
        Pattern("loss", source).last(line)
    assert f"took {taken!r} from the line {line!r}, wh" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "line", "value"),
    [
        (r"took (\d+)", "took 12s", 12),
        (r"took ([0-9.]+)", "took 3e-05s", 3e-05),
        (r"loss ([0-9.]+)", "loss -3e-05,acc=0.9", -3e-05),
        (r"loss (\S+)", "loss 0.5, acc 0.9", 0.5),
        (r"loss ([0-9.]+)", "loss nan,acc=0.9", math.nan),
        (r"loss (.*)", "loss -nan(ind)", math.nan),
        (r"epoch (\d+)", "epoch 3/10", 3),
        (r"at (\d+):(\d+)", "at 12:30", 12),
        (r"^(\d+),(\d+)", "12,345", 12),
        (r"^\d+,(\d+)", "12,345", 345),
        (r"([0-9.]+)$", "12,0.345", 0.345),
        (r"^([0-9.]+)", "0.5,0.25", 0.5),
        (r"loss ([0-9.]+)e-(\d+)", "loss 3e-05", 3),
        (r"loss (\S+)", "loss 1_000", 1000),
    ],
)
def test_what_stands_beside_a_number_is_left(source: str, line: str, value: float) -> None:
    assert Pattern("loss", source).last(line) == pytest.approx(value, rel=0, abs=0, nan_ok=True)


def test_what_was_taken_is_shown_in_part_if_it_is_long() -> None:
    with pytest.raises(TrainingError) as caught:
        Pattern("loss", "loss (.*)").last("loss " + "x" * 100_000)
    assert len(str(caught.value)) < 600


# JSON ----------------------------------------------------------------------------------


def test_json_objects_only() -> None:
    assert json_object(' {"a": NaN}\n') is not None
    for text in ("", "3", "[1]", "{a}", "{", "null", '{"a": 1} {"b": 2}', "{" * 100_000 + "}"):
        assert json_object(text) is None


def test_numbers_of_json() -> None:
    found = numbers(
        {"a": 1, "b": None, "c": "inf", "d": "x", "e": True, "f": [1], "g": {"h": 1}, "i": 10**400}
    )
    assert math.isnan(found.pop("b"))
    assert found == {"a": 1.0, "c": math.inf, "i": math.inf}
