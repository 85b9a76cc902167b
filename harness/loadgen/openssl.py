"""OpenSSL for the native engine, found when it runs: nothing of it is needed to build, and no header fixes its version.

It is the library that Python's own `ssl` is linked to. Here it is prepared, through ctypes; the engine is given the
addresses of the few functions that it calls while it measures (`tls.pxd`).
"""

import ctypes
import ctypes.util
import functools
import ssl
import weakref
from collections.abc import Callable

CALLED_BY_THE_ENGINE = (
    "SSL_new", "SSL_free", "SSL_set_fd", "SSL_set_connect_state", "SSL_do_handshake", "SSL_read", "SSL_write",
    "SSL_has_pending", "SSL_shutdown", "SSL_get_error", "ERR_clear_error", "ERR_peek_error",
)  # fmt: skip

# From ssl.h and tls1.h; part of the binary interface of OpenSSL 1.1.1 and 3.
SSL_VERIFY_PEER = 1
SSL_CTRL_MODE = 33
SSL_CTRL_SET_READ_AHEAD = 41
SSL_CTRL_SET_MIN_PROTO_VERSION = 123
TLS1_3_VERSION = 0x0304
SSL_MODE_ENABLE_PARTIAL_WRITE = 0x1
SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER = 0x2
SSL_MODE_RELEASE_BUFFERS = 0x10

POINTER, LONG, TEXT = ctypes.c_void_p, ctypes.c_long, ctypes.c_char_p

CALLED_HERE: dict[str, tuple[type, tuple[type, ...]]] = {
    "TLS_client_method": (POINTER, ()),
    "SSL_CTX_new": (POINTER, (POINTER,)),
    "SSL_CTX_free": (POINTER, (POINTER,)),
    "SSL_CTX_ctrl": (LONG, (POINTER, ctypes.c_int, LONG, POINTER)),
    "SSL_CTX_set_verify": (POINTER, (POINTER, ctypes.c_int, POINTER)),
    "SSL_CTX_get_cert_store": (POINTER, (POINTER,)),
    "SSL_CTX_get0_param": (POINTER, (POINTER,)),
    "X509_VERIFY_PARAM_set1_ip_asc": (ctypes.c_int, (POINTER, TEXT)),
    "d2i_X509": (POINTER, (POINTER, POINTER, LONG)),
    "X509_STORE_add_cert": (ctypes.c_int, (POINTER, POINTER)),
    "X509_free": (POINTER, (POINTER,)),
    "SSL_get_version": (TEXT, (POINTER,)),
    "SSL_get_current_cipher": (POINTER, (POINTER,)),
    "SSL_CIPHER_get_name": (TEXT, (POINTER,)),
    "ERR_reason_error_string": (TEXT, (ctypes.c_ulong,)),
    "OpenSSL_version": (TEXT, (ctypes.c_int,)),
}
"""Function -> what it returns and takes (the manual pages of OpenSSL, section 3)."""


class OpensslError(Exception):
    """There is no OpenSSL to be had, or it refuses something, with the reason."""


@functools.cache
def load_openssl() -> ctypes.CDLL:
    """Return the library.

    Raises:
        OpensslError: There is none, or one that is too old.
    """
    import _ssl

    # A symbol is looked up in what a library is linked to as well (dlsym(3)): whoever asks `_ssl` gets its OpenSSL.
    names = (getattr(_ssl, "__file__", None), ctypes.util.find_library("ssl"))
    faults = []
    for name in filter(None, names):
        try:
            library = ctypes.CDLL(name)
            for function, (result, arguments) in CALLED_HERE.items():
                found = getattr(library, function)
                found.restype, found.argtypes = result, arguments
            for function in CALLED_BY_THE_ENGINE:
                getattr(library, function)
        except (OSError, AttributeError) as fault:
            faults.append(str(fault))
        else:
            return library
    raise OpensslError(f"no OpenSSL 1.1.1 or later was found ({'; '.join(faults) or 'there is no libssl'})")


class TlsClient:
    """What the TLS connections of a generator have in common: TLS 1.3, and a server that must prove who it is.

    Attributes:
        context: Address of the SSL_CTX; it is freed with this object, or with the last connection if that is later.
        functions: Addresses of `CALLED_BY_THE_ENGINE`, by name.
    """

    def __init__(self, authority: str, host: str) -> None:
        """Prepare.

        Args:
            authority: Certificate, as PEM text, of the authority that the server's own must be from.
            host: The IP address that it must be for.

        Raises:
            OpensslError: There is no OpenSSL, or it does not take these.
        """
        self._library = library = load_openssl()
        self.functions = {name: _address_of(getattr(library, name)) for name in CALLED_BY_THE_ENGINE}
        context = library.SSL_CTX_new(library.TLS_client_method())
        if not context:
            raise OpensslError("SSL_CTX_new failed")
        self.context: int = context
        weakref.finalize(self, library.SSL_CTX_free, context)
        modes = SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS
        library.SSL_CTX_ctrl(context, SSL_CTRL_MODE, modes, None)
        # Header and body of a record in one read(2).
        library.SSL_CTX_ctrl(context, SSL_CTRL_SET_READ_AHEAD, 1, None)
        library.SSL_CTX_set_verify(context, SSL_VERIFY_PEER, None)
        done = library.SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_3_VERSION, None)
        done = done and library.X509_VERIFY_PARAM_set1_ip_asc(library.SSL_CTX_get0_param(context), host.encode())
        if not (done and self._trust(authority)):
            raise OpensslError(f"TLS 1.3 with {host} cannot be set up: is its authority a certificate?")

    def _trust(self, authority: str) -> bool:
        library = self._library
        try:
            der = ssl.PEM_cert_to_DER_cert(authority)
        except ValueError:
            return False
        data = ctypes.create_string_buffer(der, len(der))
        place = ctypes.c_void_p(ctypes.addressof(data))  # d2i_X509(3) moves it on
        certificate = library.d2i_X509(None, ctypes.byref(place), len(der))
        if not certificate:
            return False
        try:
            added: int = library.X509_STORE_add_cert(library.SSL_CTX_get_cert_store(self.context), certificate)
        finally:
            library.X509_free(certificate)
        return bool(added)

    def describe(self, connection: int) -> str:
        """Return version and cipher of a connection (the address of its SSL), and which OpenSSL this is."""
        library = self._library
        cipher = library.SSL_CIPHER_get_name(library.SSL_get_current_cipher(connection))
        words = (library.SSL_get_version(connection), cipher)
        return f"{' '.join(word.decode() for word in words)}, {self._release()}"

    def _release(self) -> str:
        """Return "OpenSSL 3.0.19" of "OpenSSL 3.0.19 27 Jan 2026"."""
        return " ".join(self._library.OpenSSL_version(0).decode().split()[:2])

    def reason(self, error: int) -> str:
        """Return the words for an error of ERR_peek_error(3)."""
        words = self._library.ERR_reason_error_string(error)
        return words.decode() if words else "failed"


def _address_of(function: Callable[..., object]) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]
