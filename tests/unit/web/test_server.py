"""The page in a thread."""

import socket

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from telemetry.errors import ConfigurationError
from telemetry.web.server import WebServer


async def hello(_: Request) -> PlainTextResponse:
    """Any page."""
    return PlainTextResponse("hello")


APP = Starlette(routes=[Route("/", hello)])


def test_it_serves_from_a_thread_and_gives_the_port_back() -> None:
    """On a free port when 0 is asked for; a second stop does nothing; the port can be used again at once."""
    first = WebServer(APP, port=0)
    first.start()
    assert httpx.get(first.url, trust_env=False).text == "hello"
    first.stop()
    first.stop()

    again = WebServer(APP, port=first.port)
    again.start()
    try:
        assert httpx.get(again.url, trust_env=False).text == "hello"
    finally:
        again.stop()


def test_a_port_in_use_names_itself_and_the_option() -> None:
    """One line that says how to mend it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"port {port} on 127.0.0.1 is in use .*--web-port"):
            WebServer(APP, port=port).start()


@pytest.mark.parametrize(("host", "port"), [("203.0.113.7", 0), ("127.0.0.1", 70000), ("not a host", 0)])
def test_an_address_that_cannot_be_had(host: str, port: int) -> None:
    """Not ours, or none at all."""
    with pytest.raises(ConfigurationError, match=r"cannot listen on .*--web-port"):
        WebServer(APP, host, port).start()
