"""A store that may be opened before its server can be reached, and that knows for how long nothing has been answered."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from telemetry.errors import StoreError, UnavailableError
from telemetry.store.base import ArrowFile, Parameter, Result, Store
from telemetry.store.http import RETRYABLE

if TYPE_CHECKING:
    import pyarrow as pa

_log = logging.getLogger(__name__)


class LaterStore:
    """A :class:`telemetry.store.base.Store` that is opened when it can be; until then, each use tries again, or raises.

    What it knows of answers is right for one thread that asks, and any that look on. To open it counts as one statement.
    """

    def __init__(self, open_it: Callable[[], Store], monotonic: Callable[[], float] = time.monotonic) -> None:
        """Ask nothing yet.

        Args:
            open_it: opens the store, with the schema applied.
            monotonic: a clock in seconds.
        """
        self._open = open_it
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._store: Store | None = None
        self._asked: float | None = None  # when the first of the statements was sent that have not been answered
        self._waiting: float | None = None  # when the one was sent that waits now

    def open(self) -> None:
        """Try once.

        Raises:
            ConfigurationError, StoreError: it cannot be opened for a reason that waiting does not mend.
        """
        try:
            with self._asking():
                pass
        except UnavailableError as error:
            _log.error("%s; going on without it", error)
        except StoreError as error:
            if error.code not in RETRYABLE:
                raise
            _log.error("%s; going on without it", error)

    def silent_seconds(self, patience_seconds: float) -> float:
        """For how long nothing has been answered, if a statement waits now and has for ``patience_seconds``; else 0.

        From the first statement on that was not answered; a refusal is an answer. For a thread that does not wait itself.
        """
        asked, waiting = self._asked, self._waiting
        now = self._monotonic()
        return 0.0 if asked is None or waiting is None or now - waiting < patience_seconds else now - asked

    def query(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> Result:
        """As :meth:`telemetry.store.base.Store.query`."""
        with self._asking() as store:
            return store.query(sql, parameters)

    def arrow(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> "pa.Table":
        """As :meth:`telemetry.store.base.Store.arrow`."""
        with self._asking() as store:
            return store.arrow(sql, parameters)

    def execute(self, sql: str, parameters: Mapping[str, Parameter] | None = None) -> None:
        """As :meth:`telemetry.store.base.Store.execute`."""
        with self._asking() as store:
            store.execute(sql, parameters)

    def insert(
        self,
        table: str,
        columns: Sequence[str],
        arrow: ArrowFile,
        *,
        token: str,
        where: str = "1",
        parameters: Mapping[str, Parameter] | None = None,
    ) -> None:
        """As :meth:`telemetry.store.base.Store.insert`."""
        with self._asking() as store:
            store.insert(table, columns, arrow, token=token, where=where, parameters=parameters)

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
        with self._asking() as store:
            store.insert_select(table, columns, select, token=token, parameters=parameters)

    def close(self) -> None:
        """As :meth:`telemetry.store.base.Store.close`."""
        with self._lock:
            if self._store is not None:
                self._store.close()

    @contextlib.contextmanager
    def _asking(self) -> Iterator[Store]:
        self._waiting = self._monotonic()
        if self._asked is None:
            self._asked = self._waiting
        try:
            yield self._ready()
            self._asked = None
        except StoreError:
            self._asked = None
            raise
        finally:
            self._waiting = None

    def _ready(self) -> Store:
        with self._lock:
            if self._store is None:
                self._store = self._open()
            return self._store
