"""Numbers as short text."""

import doctest

import pytest

from heredity.live import words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0.000"),
        (0.79777, "0.7978"),
        (1234.0, "1234"),
        (-3.14159, "-3.142"),
        (1e-9, "1.000e-09"),
        (123456.0, "1.235e+05"),
    ],
)
def test_a_score(value: float | None, text: str) -> None:
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.001759, "0.00176"), (64, "64"), ("gelu", "gelu"), (True, "True")]
)
def test_an_hparam(value: object, text: str) -> None:
    assert words.short(value) == text


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (999, "999 B"),
        (1000, "1.0 kB"),
        (2_299_165, "2.3 MB"),
        (10**13, "10.0 TB"),
    ],
)
def test_a_size(size_bytes: int, text: str) -> None:
    assert words.size(size_bytes) == text


def test_the_examples() -> None:
    assert doctest.testmod(words).failed == 0
