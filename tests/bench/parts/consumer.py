"""``edgepath consume`` between a real Kafka and a real ClickHouse server: what a backlog takes until its paths are stored."""

from pathlib import Path

from tests.bench import servers
from tests.bench.consuming import Took, consuming, memory_mib
from tests.bench.load import Load
from tests.bench.measure import Series


def batch(folder: Path) -> dict[str, Series]:
    """500-span messages, one partition; as they are and in two compressions.

    The first backlog after a start is told apart: while it is read, arenas and caches find their size.
    """
    load, warm = Load("batch", 2_000), Load("batch", 500, seed=1)
    found: dict[str, Series] = {}
    with consuming(servers.of(folder), folder, warm, partitions=1) as setup:
        found |= _figures("consumer.batch.first", setup.consume(load, 60))
        found |= _figures("consumer.batch", setup.consume(load, 60) + setup.consume(load, 60))
        found["consumer.rss_mb"] = Series("MiB", (memory_mib(setup.consumers[0].pid),))
        for codec in ("lz4", "zstd"):
            found |= _figures(f"consumer.batch.{codec}", setup.consume(load, 30, codec))
    return found


def keyed(folder: Path) -> dict[str, Series]:
    """Messages of 1 to 5 spans of one trace, several partitions; as they are and in two compressions."""
    load, warm = Load("keyed", 2_000), Load("keyed", 500, seed=1)
    with consuming(servers.of(folder), folder, warm, partitions=4) as setup:
        found = _figures("consumer.keyed", setup.consume(load, 20))
        found["consumer.keyed.rss_mb"] = Series("MiB", (memory_mib(setup.consumers[0].pid),))
        for codec in ("lz4", "zstd"):
            found |= _figures(f"consumer.keyed.{codec}", setup.consume(load, 12, codec))
    return found


def two(folder: Path) -> dict[str, Series]:
    """Two consumers in a group; two partitions."""
    load, warm = Load("batch", 2_000), Load("batch", 500, seed=1)
    with consuming(servers.of(folder), folder, warm, partitions=2, consumers=2) as setup:
        return _figures("consumer.two", setup.consume(load, 60))


def _figures(name: str, took: Took) -> dict[str, Series]:
    return {
        f"{name}.spans_per_cpu_second": Series("spans/CPU s", (took.spans / took.consumer,)),
        f"{name}.spans_per_second": Series("spans/s", (took.spans / took.wall,)),
        f"{name}.server_cpu_us_per_span": Series("CPU us", (took.server / took.spans * 1e6,)),
        f"{name}.broker_cpu_us_per_span": Series("CPU us", (took.broker / took.spans * 1e6,)),
    }
