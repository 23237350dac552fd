"""Receiving in large pieces: the same bytes as kafka-python's own way gets, and what goes wrong is told."""

import socket
from collections.abc import Iterator

import pytest
from kafka import errors
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
from kafka.protocol import parser
from kafka.protocol.frame import KafkaBytes

from telemetry.feeds.kafka import receiving
from telemetry.feeds.kafka.receiving import Answer


@pytest.fixture
def installed() -> Iterator[None]:
    """It stands in kafka-python's place, and does not any more after the test."""
    before = [(kind, kind._sock_recv) for kind in (KafkaTCPTransport, KafkaSSLTransport)]
    frame = parser.KafkaBytes
    assert receiving.install()
    yield
    parser.KafkaBytes = frame
    for kind, method in before:
        kind._sock_recv = method


@pytest.fixture
def pair() -> Iterator[tuple[KafkaTCPTransport, socket.socket]]:
    """A transport, and the other end of its socket."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield KafkaTCPTransport(None, ours), theirs


@pytest.mark.usefixtures("installed")
def test_all_that_has_come_is_received(pair: tuple[KafkaTCPTransport, socket.socket]) -> None:
    """What came in several pieces at once; then nothing, which is no error."""
    transport, other = pair
    other.sendall(b"one ")
    other.sendall(b"two" * 5000)
    data, error = transport._sock_recv()
    assert (bytes(data), error) == (b"one " + b"two" * 5000, None)
    data, error = transport._sock_recv()
    assert (bytes(data), error) == (b"", None)


@pytest.mark.usefixtures("installed")
def test_a_closed_connection_is_told_after_what_came(pair: tuple[KafkaTCPTransport, socket.socket]) -> None:
    """The end of the stream, and a socket that is gone."""
    transport, other = pair
    other.sendall(b"last words")
    other.close()
    data, error = transport._sock_recv()
    assert bytes(data) == b"last words"
    assert isinstance(error, errors.KafkaConnectionError)
    transport._sock.close()
    data, error = transport._sock_recv()
    assert not data
    assert isinstance(error, errors.KafkaConnectionError)


@pytest.mark.usefixtures("installed")
def test_no_more_than_the_room_at_once(
    pair: tuple[KafkaTCPTransport, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest comes with the next call, from the beginning of the room again."""
    monkeypatch.setattr(receiving, "_AT_ONCE", 10)
    transport, other = pair
    other.sendall(b"0123456789abc")
    assert bytes(transport._sock_recv()[0]) == b"0123456789"
    assert bytes(transport._sock_recv()[0]) == b"abc"


@pytest.mark.parametrize("size", [0, 5, 100_000])
def test_an_answer_is_read_as_kafka_pythons_own(size: int) -> None:
    """Written in pieces, read in pieces, past the end, from the beginning again."""
    ours, theirs = Answer(size), KafkaBytes(size)
    for answer in (ours, theirs):
        for at in range(0, size, 7_000):
            answer.write(memoryview(bytes(i % 251 for i in range(at, min(at + 7_000, size)))))
        answer.seek(0)
    for count in (0, 3, 50_000, 60_000, 1, None):
        assert bytes(ours.read(count)) == theirs.read(count)
        assert ours.tell() == theirs.tell()
    ours.seek(0)
    assert bytes(ours.read()) == bytes(theirs)


def test_large_reads_are_views_of_the_answer() -> None:
    """Nothing is copied, and nothing can be written through them."""
    answer = Answer(50_000)
    part = answer.read(20_000)
    assert isinstance(part, memoryview)
    assert part.readonly
    assert part.obj is answer
    assert isinstance(answer.read(20), bytes)


def test_another_kafka_python_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A method that takes something else, a frame of another kind."""

    def other(self: KafkaTCPTransport, size: int) -> bytes:
        raise AssertionError((self, size))

    monkeypatch.setattr(KafkaTCPTransport, "_sock_recv", other)
    assert not receiving.install()
    assert KafkaTCPTransport._sock_recv is other
    monkeypatch.undo()
    monkeypatch.delattr(parser, "KafkaBytes")
    assert not receiving.install()
