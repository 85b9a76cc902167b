"""What only TLS can do wrong: both engines against certificates, handshakes and records that are not right."""

import socket
import ssl
import threading
from collections.abc import Callable

import pytest
from loadgen_peers import SIZE, Behaviour, assert_adds_up, echo, read_exactly

from harness.certificate import Certificate, make_certificate
from harness.loadgen.engines import Engine
from harness.loadgen.histogram import decode
from scenarios.tls import server_context

Serve = Callable[[Behaviour], int]
Generator = Callable[..., Engine]

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def certificate() -> Certificate:
    return make_certificate(HOST)


def behind(context: ssl.SSLContext, behave: Behaviour) -> Behaviour:
    def secured(connection: socket.socket, number: int) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            behave(wrapped, number)

    return secured


def test_version_and_cipher_are_noted(serve: Serve, generator: Generator, certificate: Certificate) -> None:
    engine = generator(serve(behind(server_context(certificate.server), echo)), authority=certificate.authority)
    engine.connect()
    words = engine.trial(0.1).tls.split()
    assert words[0] == "TLSv1.3"
    assert words[1].startswith("TLS_")
    assert words[1].endswith(",")
    assert len(words) == 4


def test_nothing_is_noted_without_tls(serve: Serve, generator: Generator) -> None:
    engine = generator(serve(echo))
    engine.connect()
    assert engine.trial(0.1).tls == ""


def test_a_certificate_of_another_authority_is_refused(
    serve: Serve, generator: Generator, certificate: Certificate
) -> None:
    stranger = make_certificate(HOST)
    engine = generator(serve(behind(server_context(stranger.server), echo)), authority=certificate.authority)
    opened = engine.connect()
    assert (opened.connected, opened.errors) == (0, {"TLS: certificate verify failed": 2})


def test_a_certificate_for_another_host_is_refused(serve: Serve, generator: Generator) -> None:
    elsewhere = make_certificate("127.0.0.2")
    engine = generator(serve(behind(server_context(elsewhere.server), echo)), authority=elsewhere.authority)
    opened = engine.connect()
    assert (opened.connected, opened.errors) == (0, {"TLS: certificate verify failed": 2})


def test_an_older_version_is_refused(serve: Serve, generator: Generator, certificate: Certificate) -> None:
    context = server_context(certificate.server)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    opened = generator(serve(behind(context, echo)), authority=certificate.authority).connect()
    assert opened.connected == 0
    assert sum(opened.errors.values()) == 2
    assert all(kind.startswith("TLS: ") for kind in opened.errors)


def test_a_server_without_tls_is_noticed(serve: Serve, generator: Generator, certificate: Certificate) -> None:
    opened = generator(serve(echo), authority=certificate.authority).connect()
    assert opened.connected == 0
    assert sum(opened.errors.values()) == 2
    assert all(kind.startswith("TLS: ") for kind in opened.errors)


def test_a_close_in_the_handshake_is_counted(serve: Serve, generator: Generator, certificate: Certificate) -> None:
    opened = generator(
        serve(lambda connection, number: connection.recv(65536) and None), authority=certificate.authority
    ).connect()
    assert (opened.connected, opened.errors) == (0, {"closed": 2})


def test_a_handshake_that_never_ends_times_out(serve: Serve, generator: Generator, certificate: Certificate) -> None:
    release = threading.Event()
    engine = generator(
        serve(lambda connection, number: release.wait(30) and None), authority=certificate.authority, grace_s=0.3
    )
    opened = engine.connect()
    release.set()
    assert (opened.connected, opened.errors) == (0, {"timed out": 2})


def test_a_record_that_was_tampered_with_is_counted(
    serve: Serve, generator: Generator, certificate: Certificate
) -> None:
    context = server_context(certificate.server)

    def tamper(connection: socket.socket, number: int) -> None:
        with context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.sendall(read_exactly(wrapped, SIZE))
            read_exactly(wrapped, SIZE)
            # 23: application data; what follows is no ciphertext of this connection (RFC 8446, section 5.2).
            socket.socket.sendall(wrapped, b"\x17\x03\x03\x00\x40" + bytes(64))
            socket.socket.recv(wrapped, 65536)

    engine = generator(serve(tamper), connections=1, authority=certificate.authority)
    assert engine.connect().connected == 1
    result = engine.trial(0.5)
    assert_adds_up(result)
    assert result.replied == 0
    (kind,) = result.errors
    assert kind.startswith("TLS: ")
    assert "bad record mac" in kind


def test_an_end_without_close_notify_is_an_error_in_half_close_too(
    serve: Serve, generator: Generator, certificate: Certificate
) -> None:
    engine = generator(
        serve(behind(server_context(certificate.server), echo)),
        authority=certificate.authority,
        requests_per_connection=2,
        half_close=True,
    )
    engine.connect()
    result = engine.trial(0.3)
    assert_adds_up(result)
    assert set(result.errors) == {"closed"}
    assert result.replied >= 2


def test_a_connection_counts_as_made_when_the_handshake_is_done(
    serve: Serve, generator: Generator, certificate: Certificate
) -> None:
    context = server_context(certificate.server)
    late = threading.Event()

    def shake_hands_late(connection: socket.socket, number: int) -> None:
        late.wait(0.2)
        behind(context, echo)(connection, number)

    opened = generator(serve(shake_hands_late), authority=certificate.authority, grace_s=30).connect()
    assert opened.connected == 2
    assert decode(opened.connection_time).get_min_value() >= 0.15e9


def test_an_authority_that_is_none_is_refused(engine_name: str, generator: Generator) -> None:
    with pytest.raises(Exception, match=r"authority|PEM|start"):
        generator(1, authority="no certificate")


def test_unix_sockets_carry_no_tls(generator: Generator, certificate: Certificate) -> None:
    with pytest.raises(ValueError, match="TLS is measured over TCP"):
        generator(0, host="unix:@x", authority=certificate.authority)
