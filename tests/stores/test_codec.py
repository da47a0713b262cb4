"""Rows of text give back the event; what would not is refused, and so is what is too new."""

import gc
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heredity.errors import StoreError
from heredity.evolution.events import FORMAT, TrialFinished, TrialInjected, TrialProposed
from heredity.stores.codec import decode, encode
from heredity.testing.store_suite import ONE_OF_EACH

finite = st.floats(allow_nan=False, allow_infinity=False)
text = st.text(st.characters(exclude_categories=["Cs"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | text,
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    max_leaves=10,
)


@given(hparams=st.dictionaries(text, json_values), weights_from=st.none() | st.integers(0))
def test_any_json_value_reads_back_the_same(
    hparams: dict[str, Any], weights_from: int | None
) -> None:
    event = TrialInjected(0, hparams, weights_from)
    (read,) = decode([encode(event)], 1)
    assert repr(read) == repr(event)


@given(score=finite, metrics=st.dictionaries(text, finite))
def test_floats_are_exact(score: float, metrics: dict[str, float]) -> None:
    event = TrialFinished(0, 0, score, metrics, None)
    (read,) = decode([encode(event)], 1)
    assert repr(read) == repr(event)


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_rows_are_strict_json(event: Any) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    name, format_, data = encode(event)
    assert (name, format_) == (type(event).__name__, FORMAT)
    assert isinstance(json.loads(data, parse_constant=refuse), dict)


@pytest.mark.parametrize("surrogate", ["\ud800", "a\udcff"])
def test_text_that_utf8_cannot_hold_is_refused(surrogate: str) -> None:
    with pytest.raises(StoreError, match="TrialInjected"):
        encode(TrialInjected(0, {"name": surrogate}, None))


def test_what_is_no_event_is_refused() -> None:
    with pytest.raises(StoreError, match="not an event"):
        encode("StudyEnded")  # type: ignore[arg-type]


def test_a_row_without_the_fields_that_have_defaults_is_read() -> None:
    """So it stands in logs that were written before the field was added."""
    whole = next(event for event in ONE_OF_EACH if isinstance(event, TrialProposed))
    name, format_, data = encode(whole)
    fields = json.loads(data)
    fields["proposal"] = {
        key: fields["proposal"][key] for key in ("member", "turn", "hparams", "start", "stop")
    }
    (read,) = decode([(name, format_, json.dumps(fields))], 1)
    assert isinstance(read, TrialProposed)
    assert read.proposal.hparams == whole.proposal.hparams
    assert read.proposal.evaluations == 1


@pytest.mark.parametrize(
    "row",
    [("TrialTransformed", FORMAT, "{}"), ("StudyResumed", FORMAT + 1, "{}")],
    ids=["unknown event", "newer format"],
)
def test_what_a_newer_version_wrote_is_refused(row: tuple[str, int, str]) -> None:
    with pytest.raises(StoreError, match=f"event 8 .*format {row[1]}.*pip install --upgrade"):
        decode([("StudyResumed", FORMAT, "{}"), row], 7)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("TrialStarted", "{"),
        ("TrialStarted", "{}"),
        ("TrialStarted", '{"trial": "a", "attempt": 0, "worker": ""}'),
        ("BudgetChanged", "[]"),
        ("BudgetChanged", '{"budget": [{"limit": "Moons", "count": 1}]}'),
        ("BudgetChanged", '{"budget": [{"limit": "Steps", "count": -1}]}'),
    ],
)
def test_a_damaged_row_is_named(name: str, data: str) -> None:
    with pytest.raises(StoreError, match=f"event 3, a {name}.*damaged"):
        decode([(name, FORMAT, data)], 3)


@pytest.mark.parametrize("row", [("StudyResumed", FORMAT, "{}"), ("StudyResumed", FORMAT, "{")])
@pytest.mark.parametrize("enabled", [True, False])
def test_the_cycle_collector_is_left_as_it_was(row: tuple[str, int, str], enabled: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with suppress(StoreError):
            decode([row], 1)
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
