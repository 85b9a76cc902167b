"""TLS around any session: ciphertext in, ciphertext out, so no backend knows of it.

OpenSSL is sans-I/O itself when it stands between two buffers in memory (`ssl.MemoryBIO`). So every backend encrypts
with the same code and the same settings, whatever TLS support its framework has of its own. TLS is 1.3 (RFC 8446) with
OpenSSL's usual ciphers, and without session tickets: they would be bytes that nobody asked for, and each handshake is
to be a whole one.
"""

import os
import ssl
import sys
import tempfile
from collections.abc import Callable

from scenarios.session import PeerError, Session

RECORD_SIZE = 16 * 1024
"""Most bytes of one record (RFC 8446, section 5.1): a read of this size never leaves a part of one behind."""


def server_context(certificate: str) -> ssl.SSLContext:
    """Return what the TLS of all connections of a server has in common.

    Args:
        certificate: Its private key and its certificate, as PEM text.

    Raises:
        ssl.SSLError: It is none.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    # `load_cert_chain` takes files only. On Linux this one is in memory and has no name that could outlive the process.
    with (
        open(os.memfd_create("certificate"), "wb")
        if sys.platform == "linux"
        else tempfile.NamedTemporaryFile("wb") as file
    ):
        file.write(certificate.encode())
        file.flush()
        context.load_cert_chain(f"/proc/self/fd/{file.fileno()}" if sys.platform == "linux" else file.name)
    return context


def over_tls(context: ssl.SSLContext, new_session: Callable[[], Session]) -> Callable[[], Session]:
    """Return what makes sessions like `new_session` does, whose bytes are encrypted."""
    return lambda: TlsSession(new_session(), context)


class TlsSession(Session):
    """Decrypts what the session within receives and encrypts what it answers; handshake and closure are its own.

    * The peer's close_notify is the end of file for the session within. Once that owes nothing more, this side's
      close_notify follows.
    * An end without close_notify cuts off the conversation (section 6.1): nothing more is owed, and the session within
      is not told that it ended.
    * A peer that breaks the rules is sent an alert (section 6.2; one that does not speak TLS at all gets none), and
      right after that the connection is ended with `PeerError`. Whatever else came together with it does not count.
    """

    __slots__ = ("_cut_off", "_fault", "_incoming", "_outgoing", "_peer_ended", "_session", "_shaking", "_tls")

    def __init__(self, session: Session, context: ssl.SSLContext) -> None:
        self._session = session
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._shaking = True
        self._peer_ended = False
        self._cut_off = False
        self._fault = ""

    @property
    def wake_at(self) -> float | None:  # type: ignore[override]
        """When the session within is to be woken; at once, if there is nothing left but to end the connection."""
        if self._cut_off:
            return None
        return 0.0 if self._fault else self._session.wake_at

    def receive(self, data: bytes) -> bytes:
        """Let the session within receive what was encrypted, and encrypt its reply."""
        if self._fault or self._peer_ended:
            return b""  # what follows an alert or close_notify is not looked at (section 6.1)
        self._incoming.write(data)
        try:
            received, self._peer_ended = self._decrypt()
        except ssl.SSLError as fault:
            self._fault = f"TLS: {(fault.reason or 'failed').replace('_', ' ').lower()}"
            return self._outgoing.read()  # the alert
        reply = self._session.receive(received) if received else b""
        if self._peer_ended:
            reply += self._session.eof()
        return self._encrypted(reply)

    def eof(self) -> bytes:
        """Take note of the connection's end, which close_notify has announced if all is well."""
        self._cut_off = not self._peer_ended
        return b""

    def wake(self) -> bytes:
        """Wake the session within, and encrypt what it answers.

        Raises:
            PeerError: The peer has had its alert.
        """
        if self._cut_off:
            return b""
        if self._fault:
            raise PeerError(self._fault)
        return self._encrypted(self._session.wake())

    def _decrypt(self) -> tuple[bytes, bool]:
        """Return what the session within is to receive, possibly nothing, and whether close_notify follows it.

        Raises:
            ssl.SSLError: The peer does not speak TLS as it should.
        """
        pieces: list[bytes] = []
        ended = False
        try:
            if self._shaking:
                self._tls.do_handshake()
                self._shaking = False
            while self._incoming.pending and not ended:
                pieces.append(self._tls.read(RECORD_SIZE))
                ended = not pieces[-1]
        except ssl.SSLWantReadError:
            pass  # there is no whole record left
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), ended

    def _encrypted(self, reply: bytes) -> bytes:
        """Return what to send for this reply, which is everything that TLS itself has to say too."""
        if reply:
            self._tls.write(reply)  # wholly, because memory never blocks
        if self._peer_ended and self._session.wake_at is None:
            self._tls.unwrap()
        return self._outgoing.read()
