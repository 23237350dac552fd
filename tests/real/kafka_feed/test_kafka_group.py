"""Partitions come and go: rebalances, evictions, restarts, new partitions."""

import threading
import uuid

from kafka import KafkaAdminClient
from kafka.admin import MemberToRemove

from telemetry.demo.kafka_broker import KafkaBroker
from telemetry.feeds.kafka import KafkaSink
from tests.real.kafka_feed.topics import PARTITIONS, OpenFeed, join, raw, read, request, spans_in, until


def test_restart_resumes_at_the_committed_offset(sink: KafkaSink, open_feed: OpenFeed) -> None:
    """What was read but not committed comes again; assigned() tells the committed offsets."""
    for trace in range(1, 41):
        sink.accept(request([trace]))
    feed = open_feed()
    joined = [feed.joined]
    records = read(feed, 40)
    assert [*joined, feed.joined] == [False, True]
    assert feed.assigned() == dict.fromkeys(range(PARTITIONS), 0)
    assert feed.lags() == feed.assigned()
    middle = {p: sorted(r.offset for r in records if r.partition == p)[3] for p in range(PARTITIONS)}
    feed.commit(middle)
    assert feed.assigned() == middle
    feed.commit(dict.fromkeys(range(PARTITIONS), 1))  # never back
    feed.commit({99: 5})  # not ours
    feed.close()
    again = open_feed()
    join(again)
    assert again.assigned() == middle
    expected = [(r.partition, r.offset) for r in records if r.offset >= middle[r.partition]]
    got = read(again, len(expected))
    assert sorted((r.partition, r.offset) for r in got) == sorted(expected)


def test_rebalance_moves_only_what_must_move(sink: KafkaSink, open_feed: OpenFeed) -> None:
    """A second member takes half; the first keeps the other half without a gap; when the second leaves, all come back."""
    first = open_feed()
    join(first)
    second = open_feed()
    held: list[set[int]] = []
    stop = threading.Event()

    def poll_second() -> None:
        while not stop.is_set():
            second.poll(0.1, 1 << 20)

    thread = threading.Thread(target=poll_second)
    thread.start()
    try:

        def halved() -> bool:
            first.poll(0.1, 1 << 20)
            held.append(set(first.assigned()))
            return len(first.assigned()) == 2 and len(second.assigned()) == 2

        until(halved)
        kept = set(first.assigned())
        assert all(kept <= step for step in held)
        assert kept | set(second.assigned()) == set(range(PARTITIONS))
    finally:
        stop.set()
        thread.join(10)
    second.close()
    join(first)
    for trace in range(1, 21):
        sink.accept(request([trace]))
    assert len(read(first, 20)) == 20


def test_lost_partitions_are_seen_to_go_before_they_come_back(
    sink: KafkaSink, open_feed: OpenFeed, kafka_broker: KafkaBroker, topic: str
) -> None:
    """A member that is thrown out sees its partitions go, joins again, and reads on from the committed offsets."""
    for trace in range(1, 21):
        sink.accept(request([trace]))
    feed = open_feed(session_timeout_ms=3000)
    first = read(feed, 20)
    feed.commit({0: 2})
    member = feed._consumer.group_metadata().member_id
    with KafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap) as admin:
        admin.remove_group_members(f"g-{topic}", [MemberToRemove(member_id=member)])
    seen: list[int] = []

    def gone() -> bool:
        seen.append(len(feed.poll(0.1, 1 << 20)))
        return not feed.assigned()

    until(gone)
    assert sum(seen) == 0
    expected = [(record.partition, record.offset) for record in first if (record.partition, record.offset) >= (0, 2)]
    again = read(feed, len(expected))
    assert feed.assigned() == {0: 2, 1: 0, 2: 0, 3: 0}
    assert sorted((record.partition, record.offset) for record in again) == sorted(expected)


def test_reread_starts_a_partition_anew(sink: KafkaSink, open_feed: OpenFeed) -> None:
    """It goes, and comes back at its committed offset; the others stay."""
    for trace in range(1, 21):
        sink.accept(request([trace]))
    feed = open_feed()
    first = [record for record in read(feed, 20) if record.partition == 1]
    feed.commit({1: 2})
    feed.reread(1)
    assert not feed.poll(0, 1000)
    assert set(feed.assigned()) == {0, 2, 3}
    assert not feed.poll(0, 1000)
    assert feed.assigned()[1] == 2
    assert read(feed, len(first) - 2) == first[2:]


def test_new_partitions_are_used(kafka_broker: KafkaBroker) -> None:
    """The topic grows while the sink is open: after the next look at the metadata traces go to the new partitions too."""
    name = f"grows-{uuid.uuid4().hex[:8]}"
    kafka_broker.create_topic(name, 1)
    sink = KafkaSink(kafka_broker.bootstrap, name)
    sink.open()
    sink.accept(request(range(1, 41)))
    with KafkaAdminClient(bootstrap_servers=kafka_broker.bootstrap) as admin:
        admin.create_partitions({name: 3})
        admin.wait_for_topics([name])
    sink._producer._metadata.request_update()  # what happens by itself every 30 s
    until(lambda: len(sink._producer.partitions_for(name)) == 3)
    sink.accept(request(range(1, 41)))
    sink.close()
    found: dict[bytes, list[int]] = {}
    for message in sorted(raw(kafka_broker.bootstrap, name), key=lambda message: message.timestamp):
        for trace, *_ in spans_in([message.value]):
            found.setdefault(trace, []).append(message.partition)
    assert {partitions[0] for partitions in found.values()} == {0}
    assert {partitions[1] for partitions in found.values()} == {0, 1, 2}
