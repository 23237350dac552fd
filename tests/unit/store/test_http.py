"""What answers over HTTP mean: which are worth another try, which are not. A real server's are in ``tests/real``."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from telemetry.errors import StoreError, UnavailableError
from telemetry.store import http
from telemetry.store.address import ServerAddress
from telemetry.store.http import HttpClient
from telemetry.store.server import ServerStore


class Front(ThreadingHTTPServer):
    """Answers what it is told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status, self.code, self.text = 200, "", ""
        self.asked: list[tuple[dict[str, list[str]], dict[str, str], bytes]] = []
        self.stopped = threading.Event()
        front = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if len(body) < int(self.headers["Content-Length"]):
                    front.stopped.set()
                    return
                front.asked.append((parse_qs(urlsplit(self.path).query), dict(self.headers), body))
                self.send_response(front.status)
                if front.code:
                    self.send_header("X-ClickHouse-Exception-Code", front.code)
                self.send_header("Content-Length", str(len(front.text.encode())))
                self.end_headers()
                self.wfile.write(front.text.encode())

            def log_message(self, *_: object) -> None:
                """Quiet."""

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def front() -> Iterator[Front]:
    """A front on a port of its own."""
    with Front() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(front: Front) -> Iterator[HttpClient]:
    """A client of the front."""
    address = ServerAddress("127.0.0.1", 9000, "db", "me", "hüsh", http_port=front.server_address[1])
    client = HttpClient(address, connect_seconds=5, answer_seconds=5)
    yield client
    client.close()


def test_what_is_sent(client: HttpClient, front: Front) -> None:
    """The statement before the rows, settings and parameters in the URL, the password in a header and nowhere else."""
    front.text = "7\n"
    answer = client.run(
        "INSERT INTO t SELECT x FROM input('x String') FORMAT Arrow",
        b"ROWS" * 1_000_000,
        settings={"insert_deduplication_token": "a/1"},
        parameters={"n": 7, "s": "tab\t"},
    )
    ((query, headers, body),) = front.asked
    assert answer == b"7\n"
    assert body == b"INSERT INTO t SELECT x FROM input('x String') FORMAT Arrow\n" + b"ROWS" * 1_000_000
    assert (query["database"], query["insert_deduplication_token"], query["wait_end_of_query"]) == (
        ["db"],
        ["a/1"],
        ["1"],
    )
    assert (query["param_n"], query["param_s"], query["max_execution_time"]) == (["7"], ["tab\\t"], ["60"])
    assert headers["X-ClickHouse-User"] == "me"
    assert headers["X-ClickHouse-Key"].encode("latin-1") == "hüsh".encode()
    assert "h%C3%BCsh" not in str(query)


@pytest.mark.parametrize("code", sorted(http.RETRYABLE))
def test_what_will_pass_is_unavailable(client: HttpClient, front: Front, code: int) -> None:
    """ClickHouse's own codes for it."""
    front.status, front.code, front.text = 500, str(code), f"Code: {code}. DB::Exception: no"
    with pytest.raises(
        UnavailableError, match=rf"^ClickHouse at .* cannot take it now: Code: {code}\. DB::Exception: no$"
    ):
        client.run("SELECT 1")


@pytest.mark.parametrize(("status", "code"), [(404, 60), (500, 47), (403, 497), (500, 164), (400, 62)])
def test_what_is_refused_is_a_store_error(client: HttpClient, front: Front, status: int, code: int) -> None:
    """With the code, in one line, without the stack."""
    front.status, front.code = status, str(code)
    front.text = f"Code: {code}. DB::Exception: no\n such thing. Stack trace:\n0. somewhere"
    with pytest.raises(StoreError) as caught:
        client.run("SELECT 1")
    assert caught.value.code == code
    assert str(caught.value).endswith(f": Code: {code}. DB::Exception: no such thing.")


def test_the_code_is_read_from_the_text_where_the_header_is_missing(client: HttpClient, front: Front) -> None:
    """Proxies drop headers that they do not know."""
    front.status, front.text = 404, "Code: 60. DB::Exception: no table"
    with pytest.raises(StoreError) as caught:
        client.run("SELECT 1")
    assert caught.value.code == 60


@pytest.mark.parametrize(
    ("text", "told"),
    [("", "nothing"), ("<html>maintenance</html>", "'<html>maintenance</html>'"), ("ARROW1 cut", "'ARROW1 cut'")],
)
def test_a_success_that_is_no_arrow_file_is_unavailable(
    front: Front, monkeypatch: pytest.MonkeyPatch, text: str, told: str
) -> None:
    """A gateway's own page, or an answer that was cut: nothing of ClickHouse, and it will pass."""
    monkeypatch.setattr(ServerStore, "ensure_database", lambda _: None)
    store = ServerStore(ServerAddress("127.0.0.1", 9000, "db", "me", "", http_port=front.server_address[1]))
    front.text = text
    with pytest.raises(UnavailableError, match=rf"^ClickHouse at .* answers with what is no Arrow file: {told}; is a"):
        store.arrow("SELECT 1")
    store.close()


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_gateway_that_fails_is_unavailable(client: HttpClient, front: Front, status: int) -> None:
    """A proxy before the server."""
    front.status, front.text = status, "<html>\nnobody there"
    with pytest.raises(UnavailableError, match=rf"answers {status}: <html> nobody there"):
        client.run("SELECT 1")


def test_something_that_is_no_clickhouse(client: HttpClient, front: Front) -> None:
    """The message says how to name the right port."""
    front.status = 400
    with pytest.raises(StoreError, match=r"answers 400: nothing; is that its HTTP port\? \?http_port= in"):
        client.run("SELECT 1")


def test_what_cannot_be_sent_is_a_store_error(client: HttpClient, front: Front) -> None:
    """What httpx refuses by itself is none of its HTTP errors: too long a URL, a client that is closed."""
    with pytest.raises(StoreError, match=r"^ClickHouse at .* cannot be asked: URL component 'query' too long"):
        client.run("SELECT 1", parameters={"ids": ["x" * 32] * 5_000})
    client.close()
    with pytest.raises(StoreError, match=r"cannot be asked: .*closed"):
        client.run("SELECT 1")
    assert front.asked == []


def test_who_wakes_from_a_long_sleep_does_not_go_on_sending(front: Front) -> None:
    """A statement's life must be bounded: the body ends short, and so nothing of it is inserted."""
    address = ServerAddress("127.0.0.1", 9000, "db", "me", "", http_port=front.server_address[1])
    clock = iter([0.0, 1.0, 61.0])
    client = HttpClient(address, connect_seconds=5, answer_seconds=5, monotonic=lambda: next(clock))
    with pytest.raises(UnavailableError, match="could not be sent within 60 s"):
        client.run("INSERT", b"x" * 5_000_000)
    client.close()
    assert front.stopped.wait(30)
    assert front.asked == []
