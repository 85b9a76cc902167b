"""Exchanges, both halves without sockets: however the bytes are split, each request has the reply that is due."""

import http.client
import itertools
import random
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from scenarios.session import Conversation, Message, Session, load_exchange

NAMES = ("rpc", "failing", "download", "upload", "http_plain")
SIZES = (1, 2, 7, 9, 64, 1000)
LARGE = 200_000
SEQUENCES = (0, 10, 0x0A210A, 2**64 - 1, 0x0123456789ABCDEF)


def new_session(name: str) -> Session:
    return load_exchange(name).new_session()


def requests_of(conversation: Conversation, sequences: tuple[int, ...] = SEQUENCES) -> bytes:
    return b"".join(conversation.request.stamped(sequence) for sequence in sequences)


def replies_of(conversation: Conversation, sequences: tuple[int, ...] = SEQUENCES) -> bytes:
    return b"".join(on_the_wire(conversation.reply, sequence) for sequence in sequences)


def on_the_wire(reply: Message, sequence: int) -> bytes:
    """The whole reply: for HTTP with the head that this server says."""
    body = reply.stamped(sequence)
    if reply.framing == "size":
        return body
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def feed(session: Session, pieces: list[bytes]) -> bytes:
    return b"".join(session.receive(piece) for piece in pieces)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", SIZES)
class TestEveryExchange:
    def test_replies_to_requests_received_whole(self, name: str, size: int) -> None:
        conversation = load_exchange(name).conversation(size)
        assert new_session(name).receive(requests_of(conversation)) == replies_of(conversation)

    def test_replies_to_requests_received_byte_by_byte(self, name: str, size: int) -> None:
        conversation = load_exchange(name).conversation(size)
        pieces = [bytes([byte]) for byte in requests_of(conversation)]
        assert feed(new_session(name), pieces) == replies_of(conversation)

    def test_replies_to_requests_cut_at_every_place(self, name: str, size: int) -> None:
        conversation = load_exchange(name).conversation(size)
        requests, replies = requests_of(conversation), replies_of(conversation)
        for cut in range(1, min(len(requests), 400)):
            assert feed(new_session(name), [requests[:cut], requests[cut:]]) == replies

    def test_replies_as_soon_as_a_request_is_whole(self, name: str, size: int) -> None:
        conversation = load_exchange(name).conversation(size)
        request = requests_of(conversation, (5,))
        session = new_session(name)
        assert session.receive(request[:-1]) == b""
        assert session.receive(request[-1:] + request[: len(request) // 2]) == replies_of(conversation, (5,))

    def test_has_nothing_late_and_nothing_at_the_end(self, name: str, size: int) -> None:
        session = new_session(name)
        session.receive(requests_of(load_exchange(name).conversation(size)))
        assert (session.wake_at, session.eof()) == (None, b"")

    def test_sessions_share_nothing(self, name: str, size: int) -> None:
        conversation = load_exchange(name).conversation(size)
        new_session(name).receive(requests_of(conversation)[: size // 2 + 1])
        assert new_session(name).receive(requests_of(conversation)) == replies_of(conversation)


@pytest.mark.parametrize("name", NAMES)
def test_large_messages_in_pieces_of_any_size(name: str) -> None:
    conversation = load_exchange(name).conversation(LARGE)
    requests = requests_of(conversation)
    draw = random.Random(1)
    cuts = sorted(draw.sample(range(1, len(requests)), 20))
    pieces = [requests[start:end] for start, end in itertools.pairwise([0, *cuts, len(requests)])]
    assert feed(new_session(name), pieces) == replies_of(conversation)


def test_sizes_are_those_of_what_is_carried() -> None:
    assert len(load_exchange("rpc").conversation(100).reply.data) == 4 + 100
    assert len(load_exchange("download").conversation(100).reply.data) == 100
    assert len(load_exchange("upload").conversation(100).request.data) == 16 + 100
    assert len(load_exchange("http_plain").conversation(100).reply.data) == 100


@pytest.mark.parametrize("place", [16, 50_000, 199_999])
def test_an_upload_that_came_wrong_has_another_reply(place: int) -> None:
    conversation = load_exchange("upload").conversation(LARGE)
    request = bytearray(conversation.request.stamped(7))
    request[place] ^= 1
    session = new_session("upload")
    reply = b"".join(session.receive(bytes(request[at : at + 65_536])) for at in range(0, len(request), 65_536))
    assert reply[:8] == conversation.reply.stamped(7)[:8]
    assert reply != conversation.reply.stamped(7)
    assert int.from_bytes(reply[8:], "little") <= place - 16
    assert session.receive(conversation.request.stamped(8)) == conversation.reply.stamped(8)


def test_an_upload_whose_pieces_were_swapped_has_another_reply() -> None:
    conversation = load_exchange("upload").conversation(LARGE)
    request = conversation.request.stamped(7)
    swapped = request[:50_000] + request[100_000:150_000] + request[50_000:100_000] + request[150_000:]
    assert new_session("upload").receive(swapped) not in (b"", conversation.reply.stamped(7))


@pytest.mark.parametrize(
    ("name", "request_bytes"),
    [
        ("rpc", struct.pack(">I8sI", 3, b"", 5)),
        ("rpc", struct.pack(">I8sI", 2**32 - 1, b"", 5)),
        ("rpc", struct.pack(">I8sI", 12, b"", 2**32 - 1)),
        ("download", struct.pack("<8sQ", b"", 2**60)),
    ],
)
def test_a_request_out_of_range_ends_its_connection(name: str, request_bytes: bytes) -> None:
    with pytest.raises(Exception, match="request"):
        new_session(name).receive(request_bytes)


def test_rpc_answers_a_foreign_request_of_another_size() -> None:
    foreign = struct.pack(">I8sI", 12, b"sequence", 20)
    reply = new_session("rpc").receive(foreign)
    assert reply[:12] == struct.pack(">I8s", 20, b"sequence")
    assert len(reply) == 24


@pytest.mark.parametrize(
    "target", ["/", "/64", "/0/0123456789abcdef", "/99999999/0123456789abcdef", "/64/0123456789ABCDEF"]
)
def test_an_unknown_target_is_not_found_and_the_connection_goes_on(target: str) -> None:
    session = new_session("http_plain")
    reply = session.receive(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert reply.startswith(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n")
    conversation = load_exchange("http_plain").conversation(64)
    assert session.receive(requests_of(conversation)) == replies_of(conversation)


def test_what_is_no_request_is_refused_once_and_nothing_more_is_read() -> None:
    session = new_session("http_plain")
    assert session.receive(b"hello?\r\n\r\n").startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert session.receive(requests_of(load_exchange("http_plain").conversation(64))) == b""


@pytest.fixture
def http_port() -> Iterator[int]:
    """A server that drives one HttpSession with a blocking socket."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        session = new_session("http_plain")
        with connection:
            while data := connection.recv(1000):
                connection.sendall(session.receive(data))

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    thread.join(10)
    listener.close()
    assert not thread.is_alive()


def test_a_foreign_client_gets_the_body_with_the_sequence(http_port: int) -> None:
    client = http.client.HTTPConnection("127.0.0.1", http_port, timeout=10)
    for sequence in (1, 0xFFFFFFFFFFFFFFFF):
        client.request("GET", f"/64/{sequence:016x}", headers={"X-Something": "else"})
        response = client.getresponse()
        body = response.read()
        assert (response.status, response.version) == (200, 11)
        assert body == load_exchange("http_plain").conversation(64).reply.stamped(sequence)
    client.close()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sequence_encoding": "octal"}, "sequence_encoding is 'octal'"),
        ({"framing": "lines"}, "framing is 'lines'"),
        ({"sequence_width": 17, "sequence_encoding": "hex"}, "must be 0 to 16"),
        ({"sequence_width": 9}, "must be 0 to 8"),
    ],
)
def test_messages_that_contradict_themselves_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Message(bytes(20), **values)  # type: ignore[arg-type]


def test_a_sequence_in_hexadecimal_digits_is_cut_to_its_width() -> None:
    message = Message(b"<......>", sequence_at=1, sequence_width=6, sequence_encoding="hex")
    assert message.stamped(0x12ABCDEF) == b"<abcdef>"
    assert message.stamped(1) == b"<000001>"
