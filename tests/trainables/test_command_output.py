"""Output as programs print it: in pieces, in colour, over and over on one line."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heredity.errors import TrainingError
from heredity.trainables.command.numbers import Pattern
from heredity.trainables.command.output import (
    TAIL_CHARACTERS,
    TAIL_LINES,
    Found,
    Lines,
    Output,
    found_in,
)

ACCURACY = Pattern("accuracy", r"accuracy ([0-9.]+)")
LOSS = Pattern("loss", r"loss ([0-9.]+)")
EPOCH = Pattern("step", r"epoch (\d+)")


def read(text: str, *patterns: Pattern, metric: str = "accuracy", stream: str = "out") -> Output:
    output = Output(metric, patterns)
    output.feed(stream, text.encode())  # type: ignore[arg-type]
    output.close()
    return output


# Lines ---------------------------------------------------------------------------------


def lines(*pieces: bytes) -> list[tuple[str, bool]]:
    stream = Lines()
    found = [line for piece in pieces for line in stream.feed(piece)]
    return [*found, *stream.feed(b"", final=True)]


def test_lines_come_without_control_sequences() -> None:
    coloured = b"\x1b[1;31mloss\x1b[0m \x1b]0;title\x07\x1b(B0.5\x1b[K\x08\nnext"
    assert lines(coloured) == [("loss 0.5", False), ("next", False)]


def test_a_carriage_return_ends_a_line_that_is_overwritten() -> None:
    assert lines(b"10%\r20%\r\n30%\r") == [("10%", True), ("20%", False), ("30%", False)]


@given(
    st.text(alphabet="aé\r\n\x1b[0m1 日", max_size=60),
    st.lists(st.integers(min_value=0, max_value=150), max_size=8),
)
def test_lines_do_not_depend_on_the_pieces_they_come_in(text: str, cuts: list[int]) -> None:
    data = text.encode()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assert lines(*(data[a:b] for a, b in itertools.pairwise(edges))) == lines(data)


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    stream = Lines()
    for _ in range(40):
        longest = max((len(line) for line, _ in stream.feed(b"x" * (1 << 16))), default=0)
    assert len(stream._rest) <= 1 << 18
    assert longest <= 1 << 19


def test_bytes_that_are_no_text_are_no_error() -> None:
    assert read("", ACCURACY).found.metrics == {}
    output = Output("accuracy", [ACCURACY])
    output.feed("out", b"\xff\xfe accuracy 0.5 \xe6")
    output.close()
    assert output.found == Found({"accuracy": 0.5})


# Patterns ------------------------------------------------------------------------------


def test_the_last_match_of_each_pattern_counts() -> None:
    text = "epoch 1 loss 3 accuracy 0.1\nepoch 2 accuracy 0.2\n"
    assert read(text, ACCURACY, LOSS).found == Found({"accuracy": 0.2, "loss": 3.0})


def test_progress_bars_and_standard_error_count_too() -> None:
    bar = "\r 10% accuracy 0.1\r\x1b[32m100% accuracy 0.9\x1b[0m"
    assert read(bar, ACCURACY, stream="err").found.metrics == {"accuracy": 0.9}


def test_a_score_that_turns_nan_is_not_the_one_before() -> None:
    found = read("accuracy 0.9\naccuracy nan\n", ACCURACY).found.metrics
    assert math.isnan(found["accuracy"])


def test_without_a_match_the_pattern_is_shown() -> None:
    found = read("loss 3\n", ACCURACY, LOSS).found
    assert found.metrics == {"loss": 3.0}
    assert found.missing == "no line matched the pattern of `accuracy`, 'accuracy ([0-9.]+)'"


# JSON lines ----------------------------------------------------------------------------


def test_the_last_json_line_with_the_score_counts() -> None:
    text = '{"accuracy": 0.1, "loss": 9}\n{"accuracy": 0.2}\n{"saved": 1}\n{oops}\nbye\n'
    assert read(text).found == Found({"accuracy": 0.2})


def test_json_on_standard_error_is_somebodys_log() -> None:
    found = read('{"accuracy": 0.1}', stream="err").found
    assert found.metrics == {}
    assert 'such as {"accuracy": 0.5}' in found.missing


def test_a_misspelt_score_is_recognised() -> None:
    assert "Did you mean `acuracy`?" in read('{"acuracy": 0.1}').found.missing


# Steps ---------------------------------------------------------------------------------


def steps(text: str, *patterns: Pattern, step: Pattern | None = EPOCH) -> list[object]:
    seen: list[object] = []
    output = Output("accuracy", patterns, step, lambda step, metrics: seen.append((step, metrics)))
    output.feed("out", text.encode())
    output.close()
    return seen


def test_a_score_is_measured_at_the_step_of_its_line_or_the_last_before() -> None:
    text = "accuracy 0\nepoch 1 loss 3\naccuracy 0.1\nepoch 2 accuracy 0.2\n"
    assert steps(text, ACCURACY, LOSS) == [
        (1, {"accuracy": 0.1, "loss": 3.0}),
        (2, {"accuracy": 0.2, "loss": 3.0}),
    ]


def test_json_speaks_of_its_step() -> None:
    text = '{"step": 4, "accuracy": 0.1}\n{"step": 5, "loss": 1}\n'
    assert steps(text, step=None) == [(4, {"accuracy": 0.1})]


def test_half_steps_are_refused() -> None:
    with pytest.raises(TrainingError, match=r"the step 1.5 in the line 'epoch 1.5' is not whole"):
        steps("epoch 1.5\n", ACCURACY)


# Last words ----------------------------------------------------------------------------


def test_the_tail_is_what_a_person_would_have_seen() -> None:
    text = "start\n\n10%\r50%\r100%\n\x1b[31mfailed\x1b[0m"
    assert read(text).tail == "start\n100%\nfailed"


def test_the_tail_has_an_end() -> None:
    tail = read("".join(f"line {number}\n" for number in range(1000))).tail.splitlines()
    assert tail == [f"line {number}" for number in range(1000 - TAIL_LINES, 1000)]


def test_the_tail_shows_both_ends_of_long_lines_and_is_not_long_itself() -> None:
    text = "".join(f"begin {number} {'x' * 100_000} end {number}\n" for number in range(20))
    tail = read(text).tail
    assert TAIL_CHARACTERS / 2 < len(tail) <= TAIL_CHARACTERS
    for line in tail.splitlines():
        begin, end = line.split(" … ")
        assert begin.split()[1] == end.split()[-1]
    assert tail.endswith("end 19")


# Files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "metrics"),
    [
        ('{"accuracy": 0.5, "name": "x"}', {"accuracy": 0.5}),
        ('{\n  "accuracy": 0.5,\n  "loss": 2\n}\n', {"accuracy": 0.5, "loss": 2}),
        ('{"accuracy": 0.1}\n{"accuracy": 0.5}\n{"time": 3}\n', {"accuracy": 0.5}),
    ],
)
def test_files_of_json_and_of_json_lines(
    tmp_path: Path, text: str, metrics: dict[str, float]
) -> None:
    (tmp_path / "metrics.json").write_text(text)
    assert found_in(tmp_path / "metrics.json", "accuracy") == Found(metrics)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read: No such file"),
        ("", "is to hold a JSON object of metrics, not ''"),
        ("[1, 2]", "is to hold a JSON object of metrics, not '[1, 2]'"),
        ('{"acuracy": 1}', "has no number `accuracy`, the score. Did you mean `acuracy`?"),
    ],
)
def test_files_without_the_score(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "metrics.json").write_text(text)
    assert said in found_in(tmp_path / "metrics.json", "accuracy").missing
