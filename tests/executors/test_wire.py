"""Messages that arrive in pieces."""

import os
import threading
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from heredity.executors import wire


def written(messages: list[Any]) -> bytes:
    """The bytes that sending the messages puts on a descriptor."""
    here, there = os.pipe()
    chunks: list[bytes] = []
    reader = threading.Thread(target=lambda: chunks.extend(iter(lambda: os.read(here, 999), b"")))
    reader.start()
    for message in messages:
        wire.send(there, message)
    os.close(there)
    reader.join()
    os.close(here)
    return b"".join(chunks)


@given(st.lists(st.one_of(st.integers(), st.binary(max_size=100), st.none())), st.data())
def test_messages_survive_any_division(messages: list[Any], data: st.DataObject) -> None:
    stream = written(messages)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=10)))
    inbox = wire.Inbox()
    got = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += list(inbox.feed(stream[start:end]))
    assert got == messages


def test_a_message_larger_than_any_buffer_is_sent_whole() -> None:
    large = os.urandom(5 << 20)
    assert list(wire.Inbox().feed(written([large, "next"]))) == [large, "next"]


def test_receiving_ends_when_the_other_end_is_gone() -> None:
    here, there = os.pipe()
    wire.send(there, "last")
    os.close(there)
    assert list(wire.receive(here)) == ["last"]
    os.close(here)


def test_stop_requests_arrive_in_order() -> None:
    here, there = os.pipe()
    wire.send_stop(there, 7, 0)
    wire.send_stop(there, 2**40, 3)
    os.close(there)
    assert list(wire.receive_stops(here)) == [(7, 0), (2**40, 3)]
    os.close(here)
