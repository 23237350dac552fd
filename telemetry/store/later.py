"""A store that may be opened before its server can be reached."""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from telemetry.errors import StoreError, UnavailableError
from telemetry.store.base import Parameter, Result, Store
from telemetry.store.http import RETRYABLE

if TYPE_CHECKING:
    import pyarrow as pa

_log = logging.getLogger(__name__)


class LaterStore:
    """A :class:`telemetry.store.base.Store` that is opened when it can be; until then, each use tries again, or raises."""

    def __init__(self, open_it: Callable[[], Store]) -> None:
        """Try once.

        Args:
            open_it: opens the store, with the schema applied.

        Raises:
            ConfigurationError, StoreError: it cannot be opened for a reason that waiting does not mend.
        """
        self._open = open_it
        self._lock = threading.Lock()
        self._store: Store | None = None
        try:
            self._ready()
        except UnavailableError as error:
            _log.error("%s; going on without it", error)
        except StoreError as error:
            if error.code not in RETRYABLE:
                raise
            _log.error("%s; going on without it", error)

    def _ready(self) -> Store:
        with self._lock:
            if self._store is None:
                self._store = self._open()
            return self._store

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        """As :meth:`telemetry.store.base.Store.query`."""
        return self._ready().query(sql, parameters)

    def arrow(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> "pa.Table":
        """As :meth:`telemetry.store.base.Store.arrow`."""
        return self._ready().arrow(sql, parameters)

    def execute(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> None:
        """As :meth:`telemetry.store.base.Store.execute`."""
        self._ready().execute(sql, parameters)

    def insert(
        self,
        table: str,
        columns: Sequence[str],
        arrow: bytes,
        *,
        token: str,
        where: str = "1",
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        """As :meth:`telemetry.store.base.Store.insert`."""
        self._ready().insert(table, columns, arrow, token=token, where=where, parameters=parameters)

    def insert_select(
        self,
        table: str,
        columns: Sequence[str],
        select: str,
        *,
        token: str,
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        """As :meth:`telemetry.store.base.Store.insert_select`."""
        self._ready().insert_select(table, columns, select, token=token, parameters=parameters)

    def close(self) -> None:
        """As :meth:`telemetry.store.base.Store.close`."""
        with self._lock:
            if self._store is not None:
                self._store.close()
