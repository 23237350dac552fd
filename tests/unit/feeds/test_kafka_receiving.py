"""Receiving in large pieces: the same bytes as kafka-python's own way gets, and what goes wrong is told."""

import selectors
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress

import pytest
from kafka import errors
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport
from kafka.protocol import parser
from kafka.protocol.consumer.fetch import FetchResponse
from kafka.protocol.frame import KafkaBytes
from kafka.protocol.schemas.fields import codecs

from telemetry.feeds.kafka import receiving
from telemetry.feeds.kafka.receiving import Answer


@pytest.fixture
def installed() -> Iterator[None]:
    """It stands in kafka-python's place, and does not any more after the test."""
    before = [(kind, kind._sock_recv) for kind in (KafkaTCPTransport, KafkaSSLTransport)]
    frame, emit = parser.KafkaBytes, codecs.Bytes.emit_decode_from
    assert receiving.install()
    yield
    parser.KafkaBytes = frame
    codecs.Bytes.emit_decode_from = emit
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
    monkeypatch.setattr(receiving, "_TLS_RECORD", 2)
    transport, other = pair
    other.sendall(b"0123456789abcde")
    assert bytes(transport._sock_recv()[0]) == b"0123456789ab"
    assert bytes(transport._sock_recv()[0]) == b"cde"


class Tls:
    """A socket that gives at most one record a call, and keeps to itself what the caller had no room for, as OpenSSL does."""

    def __init__(self, records: list[bytes]) -> None:
        self.records = records
        self.pending = b""

    def recv_into(self, room: memoryview) -> int:
        """As ``ssl.SSLSocket.recv_into`` of a socket that does not block."""
        if not self.pending and not self.records:
            raise ssl.SSLWantReadError
        self.pending = self.pending or self.records.pop(0)
        given = min(len(room), len(self.pending))
        room[:given] = self.pending[:given]
        self.pending = self.pending[given:]
        return given


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("size", [16_384, 16_000, 5_000, 7])
def test_nothing_of_a_tls_record_is_left_behind(size: int) -> None:
    """No selector knows of it. In a large answer, too, and behind its end."""
    stream = (200_000).to_bytes(4) + bytes(200_000) + (3).to_bytes(4) + b"end"
    sock = Tls([stream[at : at + size] for at in range(0, len(stream), size)])
    transport, connection = KafkaSSLTransport.__new__(KafkaSSLTransport), Reading()
    transport._sock, transport._protocol = sock, connection
    found: list[bytes] = []
    while sock.records:
        found += read(transport, connection)
        assert sock.pending == b""
    assert found == [bytes(200_000), b"end"]


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
    answer.seek(0)
    answer.write(b"later")
    assert bytes(part[:5]) == b"later"
    assert isinstance(answer.read(20), bytes)


class Reading:
    """A connection whose parser hands on what it has read."""

    def __init__(self) -> None:
        self.parser = parser.KafkaProtocol()
        self.parser._process_response = lambda answer: bytes(answer.read())


def read(transport: KafkaTCPTransport, connection: Reading) -> list[bytes]:
    """One step of kafka-python's loop over a socket: the answers that are whole."""
    data, error = transport._sock_recv()
    assert error is None
    found: list[bytes] = connection.parser.receive_bytes(data)
    return found


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("sizes", [[200_000], [10, 200_000, 300_000, 5], [16_384, 16_385, 16_386, 1]])
@pytest.mark.parametrize("step", [999, 65_536, 1 << 20])
def test_answers_come_whole_however_they_are_cut(
    pair: tuple[KafkaTCPTransport, socket.socket], sizes: list[int], step: int
) -> None:
    """Large ones and small ones, one behind the other, in pieces of any size."""
    transport, other = pair
    connection = Reading()
    transport.set_protocol(connection)
    answers = [bytes(i % 251 for i in range(size)) for size in sizes]
    stream = b"".join(len(answer).to_bytes(4) + answer for answer in answers)
    other.setblocking(False)
    found: list[bytes] = []
    at = 0
    while at < len(stream) or len(found) < len(answers):
        with suppress(BlockingIOError):
            at += other.send(stream[at : at + step])
        found += read(transport, connection)
    assert found == answers


@pytest.mark.usefixtures("installed")
def test_the_end_of_a_connection_within_a_large_answer(pair: tuple[KafkaTCPTransport, socket.socket]) -> None:
    """It is told; what is left of the answer is nobody's."""
    transport, other = pair
    transport.set_protocol(Reading())
    other.sendall((50_000).to_bytes(4) + bytes(20_000))
    assert read(transport, transport.get_protocol()) == []
    other.sendall(bytes(100))
    other.close()
    data, error = transport._sock_recv()
    assert not data
    assert isinstance(error, errors.KafkaConnectionError)


@pytest.mark.usefixtures("installed")
def test_the_records_of_a_fetch_are_a_view_of_its_answer() -> None:
    """Decoded by code that kafka-python makes; what is small is copied out, so that it does not keep the answer."""
    large, little = b"r" * 20_000, b"s" * 100
    wanted = fetch_response(large, little)
    answer = Answer(len(wanted))
    answer.write(wanted)
    answer.seek(0)
    FetchResponse._struct._compiled_encoders.clear()  # made before, perhaps, by another test
    try:
        found = FetchResponse.decode(answer, version=12).responses[0].partitions
    finally:
        FetchResponse._struct._compiled_encoders.clear()
    assert [type(each.records) for each in found] == [memoryview, bytes]
    assert [bytes(each.records) for each in found] == [large, little]


def fetch_response(*records: bytes) -> bytes:
    """A broker's answer to a fetch, version 12, with these records of partitions of one topic."""
    partition, topic = FetchResponse.FetchableTopicResponse.PartitionData, FetchResponse.FetchableTopicResponse
    data = [partition(version=12, partition_index=n, records=each) for n, each in enumerate(records)]
    made = FetchResponse(version=12, responses=[topic(version=12, topic="t", partitions=data)])
    encoded: bytes = made.encode(version=12)
    return encoded


def test_a_selector_knows_sockets_by_their_numbers() -> None:
    """As the standard library's: known ones, unknown ones, and one that was closed while it was registered."""
    ours, theirs = socket.socketpair()
    with theirs, receiving.Selector() as selector:
        key = selector.register(ours, selectors.EVENT_READ, "what")
        assert selector.get_key(ours) == key
        with pytest.raises(KeyError):
            selector.get_key(theirs)
        ours.close()
        assert selector.get_key(ours) == key
        selector.unregister(ours)
        with pytest.raises((KeyError, ValueError)):
            selector.get_key(ours)


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
