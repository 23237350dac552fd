"""Where request paths and their roll-ups are kept: one interface, an embedded and a server backend."""

from pathlib import Path
from typing import TYPE_CHECKING

from telemetry.errors import ConfigurationError

if TYPE_CHECKING:
    from telemetry.store.address import ServerAddress
    from telemetry.store.base import Store


def open_store(
    server: "ServerAddress | str | None" = None, data_dir: Path | None = None, *, answer_seconds: float = 120
) -> "Store":
    """The store that the user named, with the schema applied: a server by address or URL, or the embedded one in ``data_dir``.

    Args:
        server: where ClickHouse is.
        data_dir: of the embedded store instead.
        answer_seconds: how long a server may be silent before a statement is given up.

    Raises:
        ConfigurationError: neither or both are named, the URL is wrong, or the directory cannot be used.
        UnavailableError: the server does not answer.
    """
    from telemetry.store import schema  # noqa: PLC0415 - backends are heavy: load the one that is asked for

    if bool(server) == bool(data_dir):
        raise ConfigurationError("name one store: --clickhouse URL for a server, or --data DIR for the embedded one")
    store: Store
    if server:
        from telemetry.store.address import ServerAddress  # noqa: PLC0415
        from telemetry.store.server import ServerStore  # noqa: PLC0415

        address = ServerAddress.parse(server) if isinstance(server, str) else server
        store = ServerStore(address, answer_seconds=answer_seconds)
    else:
        from telemetry.store.chdb import ChdbEngine  # noqa: PLC0415
        from telemetry.store.embedded import EmbeddedStore  # noqa: PLC0415

        assert data_dir is not None  # noqa: S101 - checked above
        store = EmbeddedStore(ChdbEngine(data_dir / "clickhouse", "edgepath"))
    schema.apply(store)
    return store
