"""A body is taken if, and only if, a store can hold it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from heredity.service.strict import LARGEST, problem_of

TEXTS = st.text(st.characters(exclude_categories=("Cs",)))
BODIES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-LARGEST, LARGEST) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)
UNFIT = (
    st.integers(min_value=LARGEST + 1)
    | st.integers(max_value=-LARGEST - 2)
    | st.sampled_from(["\ud800", "x \udfff", "\udc00" * 3])
)


@given(body=BODIES)
def test_what_can_be_stored_passes(body: Any) -> None:
    assert problem_of(body) is None


@given(body=BODIES, unfit=UNFIT, others=st.lists(BODIES))
def test_what_cannot_is_found_anywhere(body: Any, unfit: Any, others: list[Any]) -> None:
    for found in ({"a": {"b": [*others, unfit, body]}}, [unfit, body], unfit):
        message = problem_of(found)
        assert message
        assert message.isascii()
    if isinstance(unfit, str):
        assert problem_of({"a": {unfit: body}})


def test_any_depth_is_looked_through() -> None:
    body: Any = "\ud800"
    for _ in range(100_000):
        body = [body]
    assert problem_of(body)
