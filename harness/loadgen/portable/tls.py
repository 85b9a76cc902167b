"""TLS of the portable engine: Python's `ssl` around sockets that do not block.

OpenSSL reads no further than one record here, so all that it can hold back from the selector is a rest that a slow
reader has left of one.
"""

import contextlib
import socket
import ssl

from harness.loadgen.portable.load import READ, WRITE, Connection, Load
from harness.loadgen.spec import LoadSpec


def client_context(spec: LoadSpec) -> ssl.SSLContext | None:
    """Return what the connections of a load have in common, or None if they are plain.

    Raises:
        ssl.SSLError: The authority is no certificate.
    """
    if not spec.authority:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=spec.authority)
    return context


def shake_hands(load: Load, connection: Connection) -> int:
    """Go on with the handshake. Returns 0 if it is done, or what the selector has to wait for if it is not.

    Raises:
        OSError: It failed.
    """
    assert load.tls is not None
    assert connection.socket is not None
    if not isinstance(connection.socket, ssl.SSLSocket):
        connection.socket = load.tls.wrap_socket(
            connection.socket,
            server_hostname=load.host,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )
    try:
        connection.socket.do_handshake()
    except ssl.SSLWantReadError:
        return READ
    except ssl.SSLWantWriteError:
        return WRITE
    return 0


def at_once(load: Load) -> int:
    """Return what to watch besides READ for what OpenSSL may hold to be read: a socket that can send is reported."""
    return WRITE if load.tls else 0


def say_goodbye(connected: socket.socket) -> None:
    """Send close_notify, where there is TLS.

    Raises:
        OSError: It cannot be sent.
    """
    if isinstance(connected, ssl.SSLSocket):
        with contextlib.suppress(ssl.SSLWantReadError):  # it is sent, and the peer's own has not come
            connected.unwrap()


def describe(connected: socket.socket | None) -> str:
    """Return version and cipher of a connection, and which OpenSSL this is; an empty text if there is no TLS."""
    if not isinstance(connected, ssl.SSLSocket) or (cipher := connected.cipher()) is None:
        return ""
    return f"{connected.version()} {cipher[0]}, {' '.join(ssl.OPENSSL_VERSION.split()[:2])}"
