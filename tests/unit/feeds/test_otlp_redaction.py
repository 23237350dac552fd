"""The receiver takes out what senders without the SDK leave in, and a glance says of most messages that nothing is."""

import base64
import itertools
import logging
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from telemetry.errors import MalformedError
from telemetry.feeds.otlp.counters import Counters
from telemetry.feeds.otlp.glance import may_hold_something
from telemetry.feeds.otlp.intake import Intake, Signal
from telemetry.feeds.otlp.redaction import redact_spans, scrub, scrub_all
from telemetry.feeds.sink import MemorySink
from telemetry.redaction import redact_text
from telemetry.redaction.names import _ENDINGS, Kind
from tests.bench import workload
from tests.redaction.check import stands
from tests.redaction.corpus import DISGUISES, NUMBERS, innocents
from tests.redaction.places import Receiver, message

CARD = "4111111111111111"


def one(pair: KeyValue) -> bytes:
    """A message whose only span has one attribute."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"\xd9\xa0" * 8, span_id=b"\xc2\xb2" * 4)
    span.attributes.append(pair)
    return request.SerializeToString()


def text(name: str, value: str) -> bytes:
    """The same with a text."""
    return one(KeyValue(key=name, value=AnyValue(string_value=value)))


@pytest.mark.parametrize("name", DISGUISES)
def test_no_disguise_passes(name: str) -> None:
    """In every place that OTLP has for text, and what is kept is a valid message with everything else in it."""
    receiver = Receiver()
    for number in NUMBERS[::20]:
        hidden = DISGUISES[name](number)
        for place, send in receiver.places().items():
            assert not stands(number, hidden, send(hidden)), place
        kept = ExportTraceServiceRequest.FromString(receiver.traces(hidden)).resource_spans[0]
        assert kept.resource.attributes[0].value.string_value == "legacy"
        assert kept.scope_spans[0].spans[0].trace_id == bytes(range(16))
        assert len(kept.scope_spans[0].spans[0].attributes) == 5


@pytest.mark.parametrize("kind", innocents())
def test_innocents_stay(kind: str) -> None:
    """Byte for byte."""
    for value in innocents(count=50)[kind]:
        payload = message(value).SerializeToString()
        assert scrub(payload) is payload, value


@pytest.mark.parametrize(
    "value",
    [AnyValue(int_value=int(CARD)), AnyValue(double_value=float(CARD)), AnyValue(int_value=4917610000000000003)],
    ids=["integer", "double", "19 digits"],
)
def test_numbers_that_are_card_numbers(value: AnyValue) -> None:
    """Digits do not stand in the bytes of these."""
    kept = ExportTraceServiceRequest.FromString(scrub(one(KeyValue(key="note", value=value))))
    (pair,) = kept.resource_spans[0].scope_spans[0].spans[0].attributes
    assert pair.value.string_value == "[card]"


@pytest.mark.parametrize(
    "pair",
    [
        KeyValue(key="http.request.header.authorization", value=AnyValue(string_value="Bearer abc")),
        KeyValue(key="card.cvv", value=AnyValue(int_value=123)),
        KeyValue(key="PIN", value=AnyValue(string_value="1234")),
        KeyValue(key="url", value=AnyValue(string_value="/x?api_key=abc123")),
        KeyValue(key="url", value=AnyValue(string_value="https://a:hunter2@db/x")),
        KeyValue(key="body", value=AnyValue(string_value='{"password": "abc123"}')),
    ],
    ids=lambda pair: pair.key,
)
def test_secrets(pair: KeyValue) -> None:
    """By name and in text."""
    kept = scrub(one(pair))
    assert b"[secret]" in kept
    assert b"abc" not in kept
    assert b"hunter2" not in kept


@given(st.text(min_size=1, max_size=60), st.one_of(st.text(max_size=80), st.sampled_from(NUMBERS)))
def test_a_glance_that_finds_nothing_is_right(name: str, value: str) -> None:
    """Whatever the full look would change, the glance does not let pass."""
    payload = text(name, value)
    if not may_hold_something(payload):
        assert not redact_spans(ExportTraceServiceRequest.FromString(payload))


@pytest.mark.parametrize("kind", [Kind.SECRET, Kind.CODE, Kind.CARD])
def test_a_glance_sees_every_name(kind: Kind) -> None:
    """As one word in lower case, and within dots in upper case."""
    (endings,) = (endings for each, endings in _ENDINGS if each is kind)
    for ending in endings:
        for name in (ending, f"a.b.{ending}", ending.upper(), f"x_{ending}"):
            assert may_hold_something(text(name, "x")), name


@pytest.mark.parametrize(
    "said",
    [
        "cvv 123", "security code was 123", "Bearer abcdefgh1", "Basic dXNlcjpwYXNz", "sk_" + "live_abcdefgh123",
        "whsec_abcdefgh/abcdefgh+1", "AKIA" + "IOSFODNN7EXAMPLE", "ghp_abcdefghijklmnopqrstu", "glpat-abcdefghijklmnopq",
        "xoxb" + "-1234567890a", "eyJhbGciOi.eyJzdWIi.x", "AIzaabcdefghijklmnopqrstuvwxyz0123456", "x?pin=1234", "api-key: abc",
        "-----BEGIN RSA " + "PRIVATE KEY-----\nabc", "a%20cvv%3D123", base64.b64encode(f"a {CARD}".encode()).decode(),
    ],
)  # fmt: skip
def test_a_glance_sees_every_secret_in_text(said: str) -> None:
    """One for each pattern that the redaction knows."""
    assert redact_text(said) is not said
    assert may_hold_something(text("note", said))


def test_a_glance_lets_ordinary_messages_pass() -> None:
    """What it is for: by far most messages are not looked through, although their ids are random bytes."""
    messages = [each for _, each in itertools.islice(workload.messages(workload.BATCHES, time.time_ns()), 20)]
    # Request ids that are made of digits only, as no real ones are.
    messages = [each.replace(b"-0000-4000-8000-000000000000", b"-0c0d-4abc-8def-00cb00ab00d0") for each in messages]
    assert sum(map(may_hold_something, messages)) <= 5


def test_unknown_fields_do_not_smuggle() -> None:
    """A field of a later OTLP is kept, unless what may be a card number is in it."""
    for digits, kept in ((b"123", True), (CARD.encode(), False)):
        unknown = bytes((0xFA, 0x06, len(digits))) + digits  # field 111, bytes
        payload = text("a", "b") + unknown
        assert (digits in scrub(payload)) is kept


def test_what_cannot_be_decoded_is_masked() -> None:
    """It goes to the dead letters. Digits of other scripts are no ASCII."""
    assert scrub(b"\xff\xff no message: " + CARD.encode()) == b"** ** *******: " + b"*" * 16
    wide = "".join(chr(0xFF10 + int(digit)) for digit in CARD)
    assert scrub(b"\xff " + wide.encode()) == b"* " + b"*" * 48
    assert scrub(b"\xff\xff no message") == b"\xff\xff no message"


def test_many_at_once() -> None:
    """The same as one by one, in their order; the very same sequence if nothing had to go."""
    clean = [text("a", f"b{nth}") for nth in range(9)]
    assert scrub_all(clean) is clean
    mixed = [*clean, text("a", CARD), text("b", "c"), text("pin", "1"), b"\xff" + CARD.encode()]
    assert list(scrub_all(mixed)) == [scrub(each) for each in mixed]


def test_neither_answers_nor_logs_quote_it(caplog: pytest.LogCaptureFixture) -> None:
    """Errors quote what was sent; the client's log and ours are storage."""
    intake = Intake(MemorySink(), None, Counters(), 1.0)
    with caplog.at_level(logging.DEBUG):
        refusal = intake.refuse(MalformedError(f"traceId: '{CARD}' is not a string of hex digits"))
        intake.refuse(ValueError(f"seen {CARD}"))
    assert CARD not in refusal.message
    assert CARD not in caplog.text


def test_a_clean_request_is_kept_byte_for_byte() -> None:
    """Unknown fields, order and all."""
    sink = MemorySink()
    payload = text("a", "b") + bytes((0xFA, 0x06, 1, 65))
    Intake(sink, None, Counters(), 1.0).take(Signal.TRACES, payload)
    assert sink.payloads == [payload]
