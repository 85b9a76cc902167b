"""TLS around sessions, both ends in memory: whatever way the ciphertext is split, and whatever the peer does."""

import contextlib
import ssl
from collections.abc import Callable

import pytest

from backends.contract import report_session_failure
from harness.certificate import make_certificate
from scenarios import conditions
from scenarios.conditions import Conditions, under
from scenarios.session import PeerError, Session, load_exchange
from scenarios.tls import TlsSession, over_tls, server_context

HOST = "127.0.0.1"
CERTIFICATE = make_certificate(HOST)
CONTEXT = server_context(CERTIFICATE.server)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Client:
    """The other end, with Python's `ssl`: takes and gives ciphertext."""

    def __init__(
        self, authority: str = CERTIFICATE.authority, version: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=authority)
        context.maximum_version = version
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=HOST)

    def take(self, ciphertext: bytes) -> None:
        self._incoming.write(ciphertext)

    def give(self) -> bytes:
        return self._outgoing.read()

    def shake_hands(self) -> bytes:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self.give()

    def says(self, plaintext: bytes) -> bytes:
        self.tls.write(plaintext)
        return self.give()

    def goodbye(self) -> bytes:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        return self.give()

    def hears(self, ciphertext: bytes) -> bytes:
        """Return what these bytes decrypt to; at close_notify that ends with "!"."""
        self.take(ciphertext)
        heard = b""
        with contextlib.suppress(ssl.SSLWantReadError):
            try:
                while piece := self.tls.read(1 << 20):
                    heard += piece
            except ssl.SSLZeroReturnError:  # this end has said goodbye before
                return heard + b"!"
            return heard + b"!"
        return heard


def connected(session: Session, cut: Callable[[bytes], list[bytes]] = lambda data: [data]) -> Client:
    """Return a client that has shaken hands with a session, to which its bytes came cut in this way."""
    client = Client()
    for _ in range(2):
        for piece in cut(client.shake_hands()):
            client.take(session.receive(piece))
    assert client.tls.version() == "TLSv1.3"
    return client


def feed(session: Session, pieces: list[bytes]) -> bytes:
    return b"".join(session.receive(piece) for piece in pieces)


def byte_by_byte(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


def encrypted_echo() -> TlsSession:
    return TlsSession(load_exchange("echo").new_session(), CONTEXT)


class Finishing(Session):
    """Echoes, and notes its end."""

    ended = 0

    def receive(self, data: bytes) -> bytes:
        return data

    def eof(self) -> bytes:
        self.ended += 1
        return b"bye"


def test_what_is_said_is_answered() -> None:
    session = encrypted_echo()
    client = connected(session)
    sent = client.says(b"hello")
    assert b"hello" not in sent
    assert client.hears(session.receive(sent)) == b"hello"
    assert session.wake_at is None


def test_nothing_is_sent_unasked() -> None:
    """No session tickets follow the handshake."""
    session = encrypted_echo()
    client = Client()
    client.take(session.receive(client.shake_hands()))
    assert session.receive(client.shake_hands()) == b""


def test_handshake_and_messages_arrive_byte_by_byte() -> None:
    session = encrypted_echo()
    client = connected(session, byte_by_byte)
    for message in (b"a", bytes(20_000), b"z" * 100):
        assert client.hears(feed(session, byte_by_byte(client.says(message)))) == message


def test_the_end_of_the_handshake_and_the_first_messages_arrive_together() -> None:
    session = encrypted_echo()
    client = Client()
    client.take(session.receive(client.shake_hands()))
    assert client.hears(session.receive(client.shake_hands() + client.says(b"one") + client.says(b"two"))) == b"onetwo"


def test_two_messages_cut_at_every_place() -> None:
    session = encrypted_echo()
    client = connected(session)
    ciphertext = client.says(b"12345") + client.says(b"6789")
    for place in range(1, len(ciphertext)):
        assert client.hears(feed(session, [ciphertext[:place], ciphertext[place:]])) == b"123456789"
        ciphertext = client.says(b"12345") + client.says(b"6789")


def test_a_large_message_is_many_records() -> None:
    session = encrypted_echo()
    client = connected(session)
    message = bytes(range(256)) * 20_000
    ciphertext = client.says(message)
    pieces = [ciphertext[at : at + 65536] for at in range(0, len(ciphertext), 65536)]
    assert client.hears(feed(session, pieces)) == message


def test_close_notify_is_the_end_for_the_session_within_and_answered() -> None:
    within = Finishing()
    session = TlsSession(within, CONTEXT)
    client = connected(session)
    assert client.hears(session.receive(client.says(b"last") + client.goodbye())) == b"lastbye!"
    assert within.ended == 1
    assert session.eof() == session.wake() == b""
    assert within.ended == 1
    assert session.wake_at is None


def test_what_follows_close_notify_is_not_looked_at() -> None:
    within = Finishing()
    session = TlsSession(within, CONTEXT)
    client = connected(session)
    assert client.hears(session.receive(client.goodbye() + b"garbage")) == b"bye!"
    assert session.receive(b"more of it") == b""
    assert session.wake_at is None


def test_an_end_without_close_notify_is_no_end_for_the_session_within() -> None:
    within = Finishing()
    session = TlsSession(within, CONTEXT)
    client = connected(session)
    client.hears(session.receive(client.says(b"cut off")))
    assert session.eof() == session.wake() == b""
    assert within.ended == 0
    assert session.wake_at is None


@pytest.mark.parametrize("sent", [b"", b"\x16"])
def test_an_end_in_the_handshake_is_none_either(sent: bytes) -> None:
    within = Finishing()
    session = TlsSession(within, CONTEXT)
    assert feed(session, byte_by_byte(sent)) == b""
    assert session.eof() == b""
    assert (within.ended, session.wake_at) == (0, None)


def ending(session: Session, data: bytes) -> tuple[bytes, str]:
    """Check that these bytes end the connection; return the alert before that, if there is one, and the reason."""
    alert = session.receive(data)
    assert session.wake_at is not None
    assert session.wake_at <= 0
    assert session.receive(data) == b""
    with pytest.raises(PeerError) as fault:
        session.wake()
    return alert, str(fault.value)


def test_garbage_ends_the_connection() -> None:
    """Without an alert: this peer would not understand it."""
    assert ending(encrypted_echo(), b"garbage, garbage") == (b"", "TLS: wrong version number")
    assert ending(encrypted_echo(), b"GET / HTTP/1.1\r\n\r\n") == (b"", "TLS: http request")


def test_a_record_that_was_tampered_with_is_answered_with_an_alert_and_ends_the_connection() -> None:
    within = Finishing()
    session = TlsSession(within, CONTEXT)
    client = connected(session)
    good, bad = client.says(b"hello"), bytearray(client.says(b"world"))
    bad[-1] ^= 1
    alert, reason = ending(session, good + bad)
    assert "bad record mac" in reason
    client.take(alert)
    with pytest.raises(ssl.SSLError, match="alert bad record mac"):
        client.tls.read()
    assert within.ended == 0


def test_older_versions_are_refused() -> None:
    client = Client(version=ssl.TLSVersion.TLSv1_2)
    alert, reason = ending(encrypted_echo(), client.shake_hands())
    assert reason == "TLS: unsupported protocol"
    client.take(alert)
    with pytest.raises(ssl.SSLError, match="alert protocol version"):
        client.tls.do_handshake()


def test_a_peer_that_distrusts_the_certificate_ends_the_connection() -> None:
    session = encrypted_echo()
    stranger = Client(make_certificate(HOST).authority)
    stranger.take(session.receive(stranger.shake_hands()))
    with pytest.raises(ssl.SSLCertVerificationError):
        stranger.tls.do_handshake()
    assert session.receive(stranger.give()) == b""
    with pytest.raises(PeerError, match="unknown ca"):
        session.wake()


def test_a_peer_that_breaks_the_rules_and_leaves_needs_no_ending() -> None:
    session = encrypted_echo()
    session.receive(b"garbage, garbage")
    assert session.eof() == b""
    assert session.wake_at is None


def test_the_log_names_each_fault_of_peers_once(capsys: pytest.CaptureFixture[str]) -> None:
    for reason in ("TLS: this", "TLS: that", "TLS: this", "TLS: that"):
        try:
            raise PeerError(reason)
        except PeerError:
            report_session_failure()
    lines = capsys.readouterr().err.splitlines()
    assert [line.rpartition("peers: ")[2] for line in lines] == ["TLS: this", "TLS: that"]


def test_what_a_session_raises_comes_through() -> None:
    class Failing(Session):
        def receive(self, data: bytes) -> bytes:
            raise ValueError("a bug")

    session = TlsSession(Failing(), CONTEXT)
    client = connected(session)
    with pytest.raises(ValueError, match="a bug"):
        session.receive(client.says(b"x"))


def test_replies_are_delayed_and_encrypted_when_they_are_due() -> None:
    clock = Clock()
    within = under(Conditions(reply_delay_s=1.0), load_exchange("echo").new_session, clock)
    session = over_tls(CONTEXT, within)()
    client = connected(session)
    assert session.receive(client.says(b"later")) == b""
    assert session.wake_at == 101.0
    assert session.wake() == b""  # too early
    clock.now = 101.0
    assert client.hears(session.wake()) == b"later"
    assert session.wake_at is None


def test_close_notify_waits_for_what_is_owed() -> None:
    clock = Clock()
    session = over_tls(CONTEXT, under(Conditions(reply_delay_s=1.0), load_exchange("echo").new_session, clock))()
    client = connected(session)
    assert session.receive(client.says(b"later") + client.goodbye()) == b""
    assert session.eof() == b""
    assert session.wake_at == 101.0
    clock.now = 101.0
    assert client.hears(session.wake()) == b"later!"
    assert session.wake() == b""
    assert session.wake_at is None


def test_work_is_counted_by_plaintext(monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[int] = []
    monkeypatch.setattr(conditions, "spin", turns.append)
    echo = load_exchange("echo").new_session
    session = over_tls(CONTEXT, under(Conditions(work_spins=7, reply_size=10), echo))()
    client = connected(session)
    session.receive(client.says(bytes(15)))
    session.receive(client.says(bytes(5)))
    assert turns == [7, 7]


def test_sessions_of_a_server_share_a_context_and_nothing_else() -> None:
    make = over_tls(CONTEXT, load_exchange("echo").new_session)
    sessions = [make() for _ in range(3)]
    clients = [connected(session) for session in sessions]
    ending(sessions[0], b"garbage, garbage")
    for client, session in zip(clients[1:], sessions[1:], strict=True):
        assert client.hears(session.receive(client.says(b"mine"))) == b"mine"
