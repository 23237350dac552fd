"""What is sent: traces in pieces, copies, latecomers and poison, the same for the same seed; and the paths that must come out.

The truth about a trace is the reference's path over all its distinct spans, those that came late included.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from telemetry.domain.paths import RequestPath, assemble
from telemetry.domain.spans import Span
from telemetry.domain.tiers import Tiers
from telemetry.feeds.base import Record
from telemetry.feeds.kafka.partitions import key_of
from telemetry.vocabulary import DEFAULT_TIERS, SpanKind
from tests.support import reference_decoder
from tests.support.otlp_messages import message_of

_MS: Final = 1_000_000
_TIERS: Final = Tiers()
_ROUTES: Final = ("/v1/charges", "/v1/refunds", "/v1/customers/{id}", "/v1/balance")
_API: Final = "api"


@dataclass(frozen=True)
class Mix:
    """How often what happens; shares of traces, except ``poison``.

    Attributes:
        late: some spans come when the path is stored; half of these traces get a second such batch of spans.
        copied: a message is sent twice at about the same time.
        copied_late: a message is sent again when the path is stored.
        lost: a span of the trace is never sent, so that it closes by its grace.
        poison: bad messages for each trace.
    """

    late: float = 0.12
    copied: float = 0.1
    copied_late: float = 0.04
    lost: float = 0.08
    poison: float = 0.02


@dataclass(frozen=True)
class Sending:
    """One Kafka message to be.

    Attributes:
        after: seconds from the trace's first message to this one.
        key, value: of the message.
        trace: the trace id; empty for poison.
        late: whether it should come when the path is stored.
    """

    after: float
    key: bytes
    value: bytes
    trace: bytes
    late: bool = False


@dataclass(frozen=True)
class Trace:
    """One trace: what is sent, and what must come of it.

    Attributes:
        path: the reference's path over all that is sent.
        late: ids of spans that should be late.
        copied: whether a message of it is sent again, so that a span may be late that contributed before.
    """

    trace_id: bytes
    sendings: Sequence[Sending]
    path: RequestPath
    late: frozenset[int]
    copied: bool


@dataclass
class Workload:
    """An endless supply of traces, and of poison between them.

    Attributes:
        seed: decides everything but the times.
        late_seconds: how long after its other messages a late one is sent: longer than the consumer's grace.
        spread_seconds: within how long the other messages of a trace are sent: shorter than the grace of a complete trace.
        mix: see there.
    """

    seed: int
    late_seconds: float
    spread_seconds: float = 0.3
    mix: Mix = field(default_factory=Mix)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)

    def trace(self, now_ns: int) -> Trace:
        """The next trace, of a request that ended at about ``now_ns`` (ns since the epoch)."""
        chance = self._chance
        spans = _spans(chance, now_ns - chance.randint(1, 150_000) * _MS)
        if len(spans) > 3 and chance.random() < self.mix.lost:
            del spans[chance.randrange(1, len(spans))]
        on_time, waves = self._split(spans)
        key = key_of(spans[0].trace_id)
        sendings = []
        for number, part in enumerate(_cut(chance, on_time)):
            after = number and chance.uniform(0, self.spread_seconds)
            sendings.append(Sending(after, key, _encode(part), spans[0].trace_id))
        copied = chance.random() < self.mix.copied
        if copied:
            one = chance.choice(sendings)
            sendings.append(Sending(one.after + chance.uniform(0, self.spread_seconds), key, one.value, one.trace))
        if chance.random() < self.mix.copied_late:
            copied = True
            sendings.append(Sending(self._later(0), key, chance.choice(sendings).value, spans[0].trace_id, late=True))
        for number, wave in enumerate(waves):
            sendings.append(Sending(self._later(number), key, _encode(wave), spans[0].trace_id, late=True))
        records = [Record(0, number, 0, sending.value) for number, sending in enumerate(sendings)]
        path = assemble(reference_decoder.decode(records, _TIERS).spans, _TIERS)
        late = frozenset(span.span_id for wave in waves for span in wave)
        return Trace(spans[0].trace_id, sendings, path, late, copied)

    def poison(self) -> Iterator[Sending]:
        """The bad messages that go with one trace: mostly none. None of them is OTLP, by any reader."""
        chance = self._chance
        if chance.random() < self.mix.poison:
            whole = _encode(_spans(chance, 1_700_000_000_000_000_000))
            torn = whole[: chance.randint(4, 60)]  # the first length that it states is longer than what is left
            noise = b"\x0a\xff\xff\xff\x7f" + chance.randbytes(chance.randint(1, 60))
            json = (
                b'{"resourceSpans":[{"schemaUrl":"%d","scopeSpans":[{"spans":[{"kind":1e400}]}]}]}'
                % chance.getrandbits(20)
            )
            value = chance.choice((torn, noise, json))
            yield Sending(0, chance.randbytes(16).hex().encode(), value, b"")

    def _split(self, spans: list[Span]) -> tuple[list[Span], list[list[Span]]]:
        """What comes in time, and what comes late, in one batch of spans or two."""
        chance = self._chance
        if len(spans) < 3 or chance.random() >= self.mix.late:
            return spans, []
        left = list(spans)
        waves = []
        for _ in range(chance.choice((1, 2))):
            if len(left) > 2:
                waves.append([left.pop(chance.randrange(len(left))) for _ in range(chance.choice((1, 1, 2)))])
        return left, waves

    def _later(self, wave: int) -> float:
        return self.spread_seconds + self.late_seconds * (1 + wave / 2) + self._chance.uniform(0, 0.5)


def _encode(spans: Sequence[Span]) -> bytes:
    return message_of(spans).SerializeToString()


def _cut(chance: random.Random, spans: Sequence[Span]) -> Iterator[list[Span]]:
    """The spans in one to four parts, in any order."""
    shuffled = chance.sample(spans, len(spans))
    parts = min(chance.choice((1, 1, 2, 3, 4)), len(shuffled))
    for part in range(parts):
        yield shuffled[part::parts]


def _spans(chance: random.Random, start_ns: int) -> list[Span]:
    """A request through the tiers: some with retries, some that end early, some that fail, some sampled."""
    trace_id, status = chance.randbytes(16), chance.choice((*(200,) * 8, 201, 402, 404, 429, 500, 503))
    reach = chance.choice((4, 4, 4, 4, 4, 1, 3))
    status = status if reach == 4 else chance.choice((429, 503, 504))
    weight, duration = chance.choice((0.0, 0.0, 1.0, 2.0, 8.0)), chance.randint(30, 400) * _MS
    address, route = chance.randint(1, 200), chance.choice(_ROUTES)
    spans: list[Span] = []
    parent = 0
    for depth, tier in enumerate(DEFAULT_TIERS[: reach + 1]):
        common: dict[str, Any] = {
            "trace_id": trace_id,
            "component": f"{tier}-{chance.choice('ab')}",
            "tier": tier,
            "pop": chance.choice(("fra", "iad")) if depth < 2 else "core",
            "environment": "production",
            "method": "POST",
            "weight": weight,
        }
        inbound = Span(
            **common,
            span_id=chance.getrandbits(63) + 1,
            parent_id=parent,
            kind=SpanKind.SERVER if depth else SpanKind.INTERNAL,
            start_ns=start_ns + depth * _MS,
            duration_ns=duration - depth * 4 * _MS,
            status=status,
            route=route if tier == _API else "",
            client_hash=address if depth == 1 else 0,
        )
        spans.append(inbound)
        if depth == reach:
            break
        for attempt in range(chance.choice((1, 1, 1, 2))):
            failed = attempt == 0 and chance.random() < 0.2
            spans.append(
                Span(
                    **common,
                    span_id=chance.getrandbits(63) + 1,
                    parent_id=inbound.span_id,
                    kind=SpanKind.CLIENT,
                    start_ns=inbound.start_ns + (1 + 2 * attempt) * _MS,
                    duration_ns=_MS if failed else max(inbound.duration_ns - 3 * _MS, 0),
                    status=503 if failed else status,
                    flags="UF" if failed else "",
                )
            )
        parent = spans[-1].span_id
    return spans
