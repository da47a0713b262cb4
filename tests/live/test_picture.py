"""The picture fits where it is drawn, and says in words what its colours say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from heredity.evolution.budget import Target
from heredity.evolution.trial import Trial
from heredity.live.picture import picture
from live.played import facts_after


def mishaps(trial: Trial) -> str | None:
    return {0: "diverged", 1: "error"}.get(trial.id % 11)


STAGES = [
    facts_after(0),
    facts_after(40, population=16, mishaps=mishaps),  # type: ignore[arg-type]
    facts_after(50, population=300),
    facts_after(20, budget=Target(1e-9)),
    facts_after(1000),
]


@given(
    facts=st.sampled_from(STAGES),
    width=st.integers(1, 200),
    height=st.integers(1, 60),
    left_s=st.none() | st.floats(0, 1e6),
    fancy=st.booleans(),
)
def test_it_never_leaves_the_terminal(facts, width, height, left_s, fancy) -> None:  # type: ignore[no-untyped-def]
    lines = picture(facts, left_s, width, height, fancy=fancy).plain.split("\n")
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width


@pytest.mark.parametrize(("width", "height"), [(60, 24), (80, 24), (120, 40)])
def test_it_shows_every_member_and_every_count(width: int, height: int) -> None:
    facts = STAGES[1]
    text = picture(facts, 75.0, width, height, fancy=True).plain
    assert "1:15 left" in text
    for word in ("best", "median", "exploits", "diverged", "failed", "disk"):
        assert f"{word} " in text
    rows = [line for line in text.split("\n") if line.lstrip("★ ")[:2].strip().isdigit()]
    assert [int(line.lstrip("★ ").split()[0]) for line in rows] == list(range(16))
    assert [line.startswith((" ★", "★")) for line in rows].count(True) == 1


def test_where_it_is_wide_weights_name_their_member_and_trial() -> None:
    facts = STAGES[1]
    text = picture(facts, None, 120, 40, fancy=True).plain
    taken = [
        row for row in facts.rows(16) if row.weights_from and row.weights_from[0] != row.member
    ]
    assert taken
    for row in taken:
        assert "member {}, trial {}".format(*row.weights_from or ()) in text


def test_what_has_no_room_is_said_to_be_left_out() -> None:
    text = picture(STAGES[2], None, 80, 20, fancy=True).plain
    assert " more members" in text
    shown = sum(line.split()[-1:] in (["training"], ["waiting"]) for line in text.split("\n"))
    hidden = int(text.partition("  and ")[2].split()[0].replace(",", ""))
    assert shown + hidden == 300


def test_the_last_failure_is_shown() -> None:
    facts = facts_after(1, slots=1, mishaps=lambda trial: "error")
    assert "trial 0 failed: a mishap" in picture(facts, None, 80, 24, fancy=True).plain


def test_a_plain_terminal_gets_plain_characters() -> None:
    facts = STAGES[1]
    text = picture(facts, None, 40, 24, fancy=False).plain
    assert [c for c in text if ord(c) > 127 and c not in "–…"] == []
