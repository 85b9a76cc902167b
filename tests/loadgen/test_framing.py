"""HTTP/1.1 responses as the generator understands them: the same in both engines, whatever way the bytes are split."""

import http.server
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from loadgen_peers import Behaviour, assert_adds_up

from harness.loadgen.engines import make_engine, native_missing
from harness.loadgen.framing import BODY, FAULTS, MAX_HEAD_BYTES, Head
from harness.loadgen.spec import LoadSpec, TrialResult
from scenarios.session import load_exchange

Serve = Callable[[Behaviour], int]

DUE = 64
GOOD = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n",
    b"HTTP/1.1 200 \r\ncontent-length:64\r\n\r\n",
    b"HTTP/1.1 200\r\nCONTENT-LENGTH: \t 64 \t\r\nServer: x\r\n\r\n",
    b"HTTP/1.1 200 Fine\r\nDate: now\r\nX-Content-Length: 5\r\nContent-Length: 64\r\nContent-Lengt: 7\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 064\r\nEmpty:\r\nContent-Length: 64\r\n\r\n",
]
BAD = {
    b"HTTP/1.1 404 Not Found\r\n": 1,
    b"HTTP/1.0 200 OK\r\n": 1,
    b"HTTP/1.1 2000 OK\r\n": 1,
    b"\0\0\0": 1,
    b"HTTP/1.1 200 OK\nContent-Length: 64\n\n": 2,
    b"HTTP/1.1 200 OK\r\r\n": 2,
    b"HTTP/1.1 200 OK\r\n folded\r\n": 2,
    b"HTTP/1.1 200 OK\r\nContent-Length : 64\r\n": 2,
    b"HTTP/1.1 200 OK\r\n: 64\r\n": 2,
    b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\rx": 2,
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n": 3,
    b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n": 4,
    b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n": 4,
    b"HTTP/1.1 200 OK\r\nContent-Length: 6 4\r\n\r\n": 4,
    b"HTTP/1.1 200 OK\r\nContent-Length: -64\r\n\r\n": 4,
    b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\nContent-Length: 65\r\n\r\n": 4,
    b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999999\r\n\r\n": 4,
    b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\n": 5,
    b"HTTP/1.1 200 OK\r\nContent-Length: 63\r\n\r\n": 6,
    b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD_BYTES: 7,
}


def take(pieces: list[bytes]) -> tuple[int, int, list[int]]:
    """Feed the pieces to the portable engine's head."""
    head = Head()
    taken = [head.take(piece, DUE) for piece in pieces if not head.fault and head.state != BODY]
    return head.state, head.fault, taken


@pytest.mark.parametrize("text", GOOD)
def test_a_good_head_ends_before_the_body_wherever_it_is_cut(text: bytes) -> None:
    for cut in range(1, len(text)):
        assert take([text[:cut], text[cut:] + b"body"]) == (BODY, 0, [cut, len(text) - cut])


@pytest.mark.parametrize(("text", "fault"), BAD.items())
def test_a_bad_head_is_refused_for_its_reason(text: bytes, fault: int) -> None:
    assert FAULTS[take([text])[1]] == FAULTS[fault]
    assert take([text[at : at + 1] for at in range(len(text))])[1] == fault


PARTS = st.sampled_from(
    [*GOOD, *BAD, b"\r\n", b"\r", b"\n", b":", b" ", b"Content-Length: 64\r\n", b"transfer-encoding"]
)


@pytest.mark.skipif(bool(native_missing()), reason="no native engine")
@given(st.lists(PARTS | st.binary(min_size=1, max_size=20), min_size=1, max_size=8))
@example([GOOD[0]])
@example([GOOD[2]])
def test_both_engines_understand_the_same(pieces: list[bytes]) -> None:
    from harness.loadgen.engine import take_heads

    assert take_heads(pieces, DUE) == take(pieces)


@pytest.mark.skipif(bool(native_missing()), reason="no native engine")
@pytest.mark.parametrize("text", [*GOOD, *BAD])
def test_both_engines_understand_every_example(text: bytes) -> None:
    from harness.loadgen.engine import take_heads

    for cut in range(1, min(len(text), 200)):
        pieces = [text[:cut], text[cut:]]
        assert take_heads(pieces, DUE) == take(pieces)


def measure(engine_name: str, port: int, **load: object) -> TrialResult:
    talk = load_exchange("http_plain").conversation(DUE)
    values = {"connections": 2, "grace_s": 1.0, **load}
    engine = make_engine(engine_name, LoadSpec("127.0.0.1", port, talk.request, talk.reply, **values))  # type: ignore[arg-type]
    try:
        opened = engine.connect()
        assert opened.errors == {}, opened.fault
        result = engine.trial(0.3)
    finally:
        engine.close()
    assert_adds_up(result)
    return result


def answering(make: Callable[[int, int], bytes]) -> Behaviour:
    """Answer request n, whose sequence is s, by make(n, s)."""

    def serve(connection: socket.socket, number: int) -> None:
        rest, count = b"", 0
        while data := connection.recv(65536):
            rest += data
            *whole, rest = rest.split(b"\r\n\r\n")
            for request in whole:
                match = re.match(rb"GET /64/([0-9a-f]{16}) HTTP/1.1\r\n", request)
                assert match
                connection.sendall(make(count, int(match[1], 16)))
                count += 1

    return serve


def body(sequence: int) -> bytes:
    return load_exchange("http_plain").conversation(DUE).reply.stamped(sequence)


@pytest.mark.parametrize("depth", [1, 8])
def test_responses_with_any_good_head_are_measured(serve: Serve, engine_name: str, depth: int) -> None:
    port = serve(answering(lambda number, sequence: GOOD[number % len(GOOD)] + body(sequence)))
    result = measure(engine_name, port, pipeline_depth=depth)
    assert (result.errors, result.fault) == ({}, "")
    assert result.replied > 3


def test_responses_in_random_pieces_are_put_together(serve: Serve, engine_name: str) -> None:
    draw = random.Random(3)

    def drip(connection: socket.socket, number: int) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        rest = b""
        while data := connection.recv(65536):
            rest += data
            *whole, rest = rest.split(b"\r\n\r\n")
            for request in whole:
                text = GOOD[1] + body(int(request[8:24], 16))
                while text:
                    size = draw.randint(1, 60)
                    connection.sendall(text[:size])
                    text = text[size:]

    result = measure(engine_name, serve(drip))
    assert (result.errors, result.fault) == ({}, "")
    assert result.replied > 3


@pytest.mark.parametrize(
    ("head", "words"),
    [(text, FAULTS[fault]) for text, fault in BAD.items()],
)
def test_a_bad_head_is_a_wrong_reply_and_quoted(serve: Serve, engine_name: str, head: bytes, words: str) -> None:
    port = serve(answering(lambda number, sequence: (head if number == 1 else GOOD[0]) + body(sequence)))
    result = measure(engine_name, port, connections=1)
    assert result.errors == {"wrong": 1}
    assert result.fault.startswith(f"connection 0, reply 2: {words}, at b")
    assert result.replied == 0


def test_a_body_of_another_request_is_a_wrong_reply(serve: Serve, engine_name: str) -> None:
    port = serve(answering(lambda number, sequence: GOOD[0] + body(sequence + (number == 1))))
    result = measure(engine_name, port, connections=1)
    assert result.errors == {"wrong": 1}
    assert "reply 2, byte 15: expected" in result.fault


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        text = body(int(self.path.split("/")[2], 16))
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def foreign_port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join(10)
    server.server_close()
    assert not thread.is_alive()


def test_a_foreign_server_is_measured(engine_name: str, foreign_port: int) -> None:
    result = measure(engine_name, foreign_port)
    assert (result.errors, result.fault) == ({}, "")
    assert result.replied > 3
