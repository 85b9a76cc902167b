"""Sessions without sockets: whatever way the bytes are split, the replies are the same."""

import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.exchanges.conformance import COMMAND, CommandError, ConformanceSession, flood
from scenarios.session import Exchange, Message, Session, load_exchange

EXCHANGES = [load_exchange(name) for name in ("conformance", "echo")]  # the others: test_exchanges.py
SIZES = (1, 2, 7, 9, 64, 1000)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def command(text: str) -> bytes:
    return COMMAND + text.encode() + b"\n"


def feed(session: Session, pieces: list[bytes]) -> bytes:
    return b"".join(session.receive(piece) for piece in pieces)


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted({cut % len(data) for cut in cuts} - {0}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


def conversation_of(exchange: Exchange, size: int, count: int) -> tuple[bytes, bytes]:
    """Requests and replies of one connection, with sequences that hold every byte, a newline included."""
    conversation = exchange.conversation(size)
    draw = random.Random(size)
    sequences = [0, 10, 0x0A210A, *(draw.getrandbits(64) for _ in range(count - 3))]
    return (
        b"".join(conversation.request.stamped(sequence) for sequence in sequences),
        b"".join(conversation.reply.stamped(sequence) for sequence in sequences),
    )


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda exchange: exchange.name)
@pytest.mark.parametrize("size", SIZES)
class TestEveryExchange:
    def test_replies_to_messages_received_whole(self, exchange: Exchange, size: int) -> None:
        requests, replies = conversation_of(exchange, size, 20)
        assert exchange.new_session().receive(requests) == replies

    def test_replies_to_messages_received_byte_by_byte(self, exchange: Exchange, size: int) -> None:
        requests, replies = conversation_of(exchange, size, 20)
        assert feed(exchange.new_session(), [bytes([byte]) for byte in requests]) == replies

    def test_replies_to_messages_cut_at_every_place(self, exchange: Exchange, size: int) -> None:
        requests, replies = conversation_of(exchange, size, 3)
        for cut in range(1, min(len(requests), 300)):
            assert feed(exchange.new_session(), [requests[:cut], requests[cut:]]) == replies

    def test_replies_to_a_message_before_the_next_is_whole(self, exchange: Exchange, size: int) -> None:
        requests, replies = conversation_of(exchange, size, 3)
        session = exchange.new_session()
        assert session.receive(requests + requests[: size // 2]).startswith(replies)

    def test_has_nothing_late_and_nothing_at_the_end(self, exchange: Exchange, size: int) -> None:
        session = exchange.new_session()
        session.receive(conversation_of(exchange, size, 3)[0])
        assert (session.wake_at, session.eof()) == (None, b"")

    def test_sessions_share_nothing(self, exchange: Exchange, size: int) -> None:
        requests, replies = conversation_of(exchange, size, 3)
        exchange.new_session().receive(requests[: size // 2] or b"x")
        assert exchange.new_session().receive(requests) == replies

    def test_messages_have_the_size_that_was_asked_for(self, exchange: Exchange, size: int) -> None:
        assert len(exchange.conversation(size).request.data) == size


@given(st.lists(st.integers(0, 10_000)))
def test_commands_are_obeyed_however_they_are_split(cuts: list[int]) -> None:
    text = b"one\n" + command("flood 300") + b"\n\n" + command("farewell bye") + b"two\nrest"
    session = ConformanceSession()
    assert feed(session, pieces_of(text, cuts)) == b"one\n" + flood(300) + b"\n\n\ntwo\n"
    assert session.eof() == b"restbye\n"


def test_late_replies_come_in_the_order_of_their_times() -> None:
    clock = Clock()
    session = ConformanceSession(clock)
    assert session.receive(command("late 300 slow") + command("late 100 quick") + b"now\n") == b"now\n"
    assert session.wake_at == pytest.approx(100.1)
    clock.now = 100.2
    assert session.wake() == b"quick\n"
    assert session.wake_at == pytest.approx(100.3)
    clock.now = 101.0
    assert session.wake() == b"slow\n"
    assert session.wake_at is None


def test_late_replies_of_the_same_time_come_in_the_order_of_their_requests() -> None:
    clock = Clock()
    session = ConformanceSession(clock)
    session.receive(command("late 5 first") + command("late 5 second"))
    clock.now = 101.0
    assert session.wake() == b"first\nsecond\n"


def test_waking_early_is_harmless() -> None:
    session = ConformanceSession(Clock())
    session.receive(command("late 10 text"))
    assert session.wake() == b""
    assert session.wake_at == pytest.approx(100.01)


def test_late_replies_outlast_the_end() -> None:
    clock = Clock()
    session = ConformanceSession(clock)
    session.receive(command("late 10 text"))
    assert session.eof() == b""
    assert session.wake_at is not None
    clock.now = 101.0
    assert session.wake() == b"text\n"


@pytest.mark.parametrize("text", ["raise", "dance"])
def test_a_command_raises_at_once(text: str) -> None:
    with pytest.raises(CommandError):
        ConformanceSession().receive(command(text))


def test_a_command_raises_late() -> None:
    clock = Clock()
    session = ConformanceSession(clock)
    session.receive(command("raise-late 10"))
    assert session.wake() == b""
    clock.now = 101.0
    with pytest.raises(CommandError):
        session.wake()


def test_a_command_raises_at_the_end() -> None:
    session = ConformanceSession()
    session.receive(command("raise-at-end"))
    with pytest.raises(CommandError):
        session.eof()


def test_a_command_within_a_line_is_text() -> None:
    line = b"say " + command("raise")
    assert ConformanceSession().receive(line) == line


@given(st.binary(min_size=9, max_size=40), st.data())
def test_stamps_differ_and_leave_the_rest_alone(data: bytes, draw: st.DataObject) -> None:
    width = draw.draw(st.integers(1, 8))
    at = draw.draw(st.integers(0, len(data) - width))
    first, second = draw.draw(st.lists(st.integers(0, 256**width - 1), min_size=2, max_size=2, unique=True))
    message = Message(data, at, width)
    assert message.stamped(first) != message.stamped(second)
    assert message.stamped(first)[:at] == data[:at]
    assert message.stamped(first)[at + width :] == data[at + width :]


@pytest.mark.parametrize(("at", "width"), [(0, 9), (-1, 1), (3, 2), (0, -1)])
def test_a_sequence_that_does_not_fit_is_refused(at: int, width: int) -> None:
    with pytest.raises(ValueError, match=r"sequence"):
        Message(b"abcd", at, width)


def test_an_unknown_exchange_is_refused_with_those_there_are() -> None:
    with pytest.raises(LookupError, match=r"'shout'.*conformance, download, echo"):
        load_exchange("shout")


def test_an_exchange_can_be_a_file(tmp_path: Path) -> None:
    file = tmp_path / "shout.py"
    file.write_text(
        "from scenarios.exchanges.echo import conversation\n"
        "from scenarios.session import Exchange, Session\n"
        "class Shout(Session):\n"
        "    def receive(self, data): return data.upper()\n"
        "EXCHANGE = Exchange('shout', 'shouts', Shout, conversation)\n"
    )
    assert load_exchange(str(file)).new_session().receive(b"hello") == b"HELLO"


def test_a_file_without_an_exchange_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text("EXCHANGE = 'echo'\n")
    with pytest.raises(LookupError, match="EXCHANGE of"):
        load_exchange(str(file))
    with pytest.raises(LookupError, match="no exchange file"):
        load_exchange(str(tmp_path / "missing.py"))
