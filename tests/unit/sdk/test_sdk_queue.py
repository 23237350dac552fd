"""The queue between the host's threads and the exporter: bounded, counted, never waiting."""

import signal
import threading
import time
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from telemetry.sdk.queue import SpanQueue
from tests.unit.sdk.sdk_support import until


class Exporter(SpanExporter):
    """Keeps the names of what it gets; waits for ``gate`` first, and answers or raises ``answer``."""

    def __init__(self, answer: SpanExportResult | Exception = SpanExportResult.SUCCESS) -> None:
        self.answer = answer
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.batches: list[list[str]] = []
        self.threads: set[str] = set()
        self.closed = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.threads.add(threading.current_thread().name)
        self.entered.set()
        assert self.gate.wait(30)
        self.batches.append([span.name for span in spans])
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def shutdown(self) -> None:
        self.closed += 1


class Rig:
    """A queue of 8, batches of 4, an exporter, and spans to put in."""

    def __init__(self, exporter: Exporter, delay: float = 60) -> None:
        self.exporter = exporter
        self.queue = SpanQueue(lambda: exporter, capacity=8, batch=4, delay=delay)
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(self.queue)
        self.tracer = provider.get_tracer("test")

    def spans(self, count: int) -> None:
        """End ``count`` spans."""
        for number in range(count):
            self.tracer.start_span(str(number)).end()


@pytest.fixture
def exporter() -> Iterator[Exporter]:
    one = Exporter()
    yield one
    one.gate.set()


def test_a_full_batch_is_sent_at_once_and_off_the_hosts_thread(exporter: Exporter) -> None:
    rig = Rig(exporter)
    rig.spans(4)
    until(lambda: rig.queue.exported == 4)
    assert exporter.batches == [["0", "1", "2", "3"]]
    assert exporter.threads == {"edgepath-spans"}
    rig.queue.shutdown()


def test_less_than_a_batch_is_sent_after_the_delay(exporter: Exporter) -> None:
    rig = Rig(exporter, delay=0.05)
    rig.spans(1)
    until(lambda: rig.queue.exported == 1)
    rig.queue.shutdown()


def test_when_the_exporter_hangs_the_newest_are_dropped_and_counted_and_nobody_waits(exporter: Exporter) -> None:
    exporter.gate.clear()
    rig = Rig(exporter)
    rig.spans(4)
    assert exporter.entered.wait(10)
    begun = time.monotonic()
    rig.spans(1000)
    assert time.monotonic() - begun < 2
    assert rig.queue.dropped == 992
    exporter.gate.set()
    assert rig.queue.force_flush(10_000)
    assert (rig.queue.exported, rig.queue.dropped) == (12, 992)
    assert exporter.batches[1] == ["0", "1", "2", "3"]
    rig.queue.shutdown()


@pytest.mark.parametrize("answer", [SpanExportResult.FAILURE, OSError("no route"), ValueError("bad setting")])
def test_a_failed_export_is_counted_and_the_next_one_is_tried(answer: SpanExportResult | Exception) -> None:
    rig = Rig(Exporter(answer))
    rig.spans(3)
    assert rig.queue.force_flush(10_000)
    assert (rig.queue.exported, rig.queue.dropped) == (0, 3)
    rig.exporter.answer = SpanExportResult.SUCCESS
    rig.spans(2)
    assert rig.queue.force_flush(10_000)
    assert (rig.queue.exported, rig.queue.dropped) == (2, 3)
    rig.queue.shutdown()


def test_an_exporter_that_cannot_be_built_is_a_failed_export() -> None:
    def build() -> SpanExporter:
        raise ValueError("bad setting")

    queue = SpanQueue(build, capacity=8, batch=4, delay=60)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(queue)
    provider.get_tracer("test").start_span("x").end()
    assert queue.force_flush(10_000)
    assert queue.dropped == 1
    queue.shutdown()


def test_flush_and_shutdown_keep_to_their_time_when_the_exporter_hangs(exporter: Exporter) -> None:
    exporter.gate.clear()
    rig = Rig(exporter)
    rig.spans(6)
    assert exporter.entered.wait(10)
    begun = time.monotonic()
    assert not rig.queue.force_flush(100)
    rig.queue.shutdown(100)
    assert time.monotonic() - begun < 5
    assert rig.queue.dropped == 6  # 4 in the exporter's hands, 2 waiting
    exporter.gate.set()
    until(lambda: rig.queue.exported == 4 or len(exporter.batches) == 1)


def test_shutdown_sends_what_waits_once_and_what_comes_later_is_counted(exporter: Exporter) -> None:
    rig = Rig(exporter)
    rig.spans(3)
    rig.queue.shutdown()
    rig.queue.shutdown()
    assert exporter.batches == [["0", "1", "2"]]
    assert exporter.closed == 1
    rig.spans(2)
    assert (rig.queue.exported, rig.queue.dropped) == (3, 2)


def test_spans_that_are_not_sampled_are_not_queued(exporter: Exporter) -> None:
    queue = SpanQueue(lambda: exporter, capacity=8, batch=4, delay=60)
    provider = TracerProvider(ALWAYS_OFF, shutdown_on_exit=False)
    provider.add_span_processor(queue)
    provider.get_tracer("test").start_span("x").end()
    queue.shutdown()
    assert (exporter.batches, queue.dropped) == ([], 0)


def test_many_threads_lose_nothing_uncounted(exporter: Exporter) -> None:
    rig = Rig(exporter)
    threads = [threading.Thread(target=rig.spans, args=(500,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rig.queue.shutdown(10_000)
    assert rig.queue.exported + rig.queue.dropped == 4000
    assert sum(map(len, exporter.batches)) == rig.queue.exported


def test_a_signal_handler_may_end_spans(exporter: Exporter) -> None:
    """A handler interrupts the very code that it calls: with an ordinary lock in the way that would hang for ever."""
    rig = Rig(exporter)
    previous = signal.signal(signal.SIGALRM, lambda *_: rig.spans(20))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        rig.spans(3000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    rig.queue.shutdown(10_000)
    assert sum(map(len, exporter.batches)) == rig.queue.exported > 0


def test_drops_are_logged_without_flooding(exporter: Exporter, caplog: pytest.LogCaptureFixture) -> None:
    exporter.answer = SpanExportResult.FAILURE
    rig = Rig(exporter)
    for _ in range(5):
        rig.spans(2)
        assert rig.queue.force_flush(10_000)
    until(lambda: rig.queue.dropped == 10)
    rig.queue.shutdown()
    lines = [record.message for record in caplog.records if "dropped so far" in record.message]
    assert len(lines) == 2  # the first, and at shutdown the last
    assert lines[-1].startswith("10 spans")
