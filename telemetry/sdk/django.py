"""Django's routes. Django keeps what it resolved on a request object that no middleware around it ever sees.

Django itself is not imported: an application that is one of its handlers is known by what it can do.
"""

from typing import Any, Final

from telemetry.sdk import log
from telemetry.sdk.inbound import ROUTE

_RESOLVE: Final = "resolve_request"


def watch(app: Any) -> None:
    """If ``app`` is a Django handler, let it leave each request's route in the scope or environ. Changes this one object only.

    ``BaseHandler.resolve_request`` is there for handlers to override (Django's documentation has ``urlconf`` as its use);
    it is overridden on the instance.
    """
    resolve = getattr(app, _RESOLVE, None)
    if not callable(resolve) or not type(app).__module__.startswith("django."):
        return

    def resolve_request(request: Any) -> Any:
        match = resolve(request)
        try:
            place = request.scope if hasattr(request, "scope") else request.environ
            place[ROUTE] = "/" + match.route.lstrip("/")
        except Exception as failure:  # noqa: BLE001 - never reaches the host
            log.internal("reading Django's route", failure)
        return match

    try:
        app.resolve_request = resolve_request
    except Exception as failure:  # noqa: BLE001 - never reaches the host
        log.internal("watching Django's routes", failure)
