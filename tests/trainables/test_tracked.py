"""Tracked hparams: read-only, and honest about which values were read."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from heredity.errors import HparamsError
from heredity.trainables.tracked import TrackedHparams, UnknownHparam

VALUES = {"lr": 0.1, "momentum": 0.9, "kind": "sgd"}


@pytest.mark.parametrize(
    "read",
    [
        lambda hparams: {name: hparams[name] for name in VALUES},
        lambda hparams: dict(hparams),
        lambda hparams: (lambda **values: values)(**hparams),
        lambda hparams: dict(hparams.items()),
        lambda hparams: list(hparams.values()),
        lambda hparams: [hparams.get(name) for name in VALUES],
        lambda hparams: hparams | {} if hasattr(hparams, "__or__") else {**hparams},
    ],
    ids=["by key", "dict()", "**", "items", "values", "get", "merge"],
)
def test_every_way_of_reading_values_counts(read: Any) -> None:
    hparams = TrackedHparams(VALUES)
    read(hparams)
    assert hparams.consumed == set(VALUES)


@pytest.mark.parametrize(
    "look",
    [
        lambda hparams: "lr" in hparams,
        list,
        len,
        repr,
        str,
        lambda hparams: hparams == VALUES,
        lambda hparams: hparams == TrackedHparams(VALUES),
        lambda hparams: hparams.peek(),
        lambda hparams: hparams.keys(),
        pickle.dumps,
    ],
    ids=["in", "list", "len", "repr", "str", "==", "== own", "peek", "keys", "pickle"],
)
def test_looking_without_reading_a_value_does_not_count(look: Any) -> None:
    hparams = TrackedHparams(VALUES)
    look(hparams)
    assert hparams.consumed == set()


def test_reading_one_counts_one() -> None:
    hparams = TrackedHparams(VALUES)
    assert hparams["lr"] == 0.1
    assert hparams.consumed == {"lr"}


def test_it_cannot_be_written() -> None:
    with pytest.raises(TypeError):
        TrackedHparams(VALUES)["lr"] = 1.0  # type: ignore[index]


def test_it_does_not_follow_the_mapping_it_was_made_of() -> None:
    source = dict(VALUES)
    hparams = TrackedHparams(source)
    source["lr"] = 7.0
    assert hparams["lr"] == 0.1


def test_a_typo_is_answered_with_the_name_meant() -> None:
    with pytest.raises(UnknownHparam, match=r"^no hparam `momentun`. Did you mean `momentum`\?$"):
        TrackedHparams(VALUES)["momentun"]
    assert issubclass(UnknownHparam, HparamsError)


def test_get_gives_the_default_for_an_unknown_name() -> None:
    assert TrackedHparams(VALUES).get("dropout", 0.5) == 0.5


def test_copies_share_what_was_read() -> None:
    first = TrackedHparams(VALUES)
    second = TrackedHparams({**VALUES, "lr": 0.2}, first.consumed)
    assert second["lr"] == 0.2
    assert first.consumed == {"lr"}
