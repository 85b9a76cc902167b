# cython: language_level=3
"""TLS of the native engine: OpenSSL's functions, called through pointers, with results like those of send(2) and recv(2).

The pointers come from `harness.loadgen.openssl`. OpenSSL writes with write(2), so the process must ignore SIGPIPE, as
Python does.
"""

cimport libc.errno
from libc.errno cimport EAGAIN, EPROTO, ESHUTDOWN
from libc.stdint cimport uint32_t

from harness.loadgen.system cimport EPOLLIN, EPOLLOUT

cdef enum:
    # SSL_get_error(3)
    WANT_READ = 2
    WANT_WRITE = 3
    SYSCALL = 5
    ZERO_RETURN = 6
    # The end of file came without close_notify: an error of its own since OpenSSL 3.
    UNEXPECTED_EOF = 294
    REASON_MASK = 0x7FFFFF

cdef struct Tls:
    void *context  # NULL: connections are plain
    void *(*new)(void *context) noexcept nogil
    void (*free)(void *ssl) noexcept nogil
    int (*set_fd)(void *ssl, int fd) noexcept nogil
    void (*set_connect_state)(void *ssl) noexcept nogil
    int (*do_handshake)(void *ssl) noexcept nogil
    int (*read)(void *ssl, void *data, int length) noexcept nogil
    int (*write)(void *ssl, const void *data, int length) noexcept nogil
    int (*has_pending)(const void *ssl) noexcept nogil
    int (*shutdown)(void *ssl) noexcept nogil
    int (*get_error)(const void *ssl, int result) noexcept nogil
    void (*clear_error)() noexcept nogil
    unsigned long (*peek_error)() noexcept nogil
    unsigned long fault  # the first error of TLS itself


cdef inline int settle(Tls *tls, void *ssl, int result) noexcept nogil:
    """Set errno for a call that did nothing: EAGAIN, ESHUTDOWN if the peer broke off, EPROTO if TLS itself failed.

    Returns:
        0 if the peer's close_notify has come, else -1.
    """
    cdef int kind = tls.get_error(ssl, result)
    cdef unsigned long error
    if kind == ZERO_RETURN:
        return 0
    if kind == WANT_READ or kind == WANT_WRITE:
        libc.errno.errno = EAGAIN
    elif kind == SYSCALL:
        if libc.errno.errno == 0:
            libc.errno.errno = ESHUTDOWN  # before OpenSSL 3
    else:
        error = tls.peek_error()
        if error & REASON_MASK == UNEXPECTED_EOF:
            libc.errno.errno = ESHUTDOWN
        else:
            libc.errno.errno = EPROTO
            if not tls.fault:
                tls.fault = error
    return -1


cdef inline void prepare(Tls *tls) noexcept nogil:
    """What every call needs before, so that afterwards its errors can be told from older ones (SSL_get_error(3))."""
    tls.clear_error()
    libc.errno.errno = 0


cdef inline void *begin_tls(Tls *tls, int fd) noexcept nogil:
    """Return TLS for a connected socket, or NULL if there is no memory."""
    cdef void *ssl = tls.new(tls.context)
    if ssl != NULL:
        tls.set_connect_state(ssl)
        if tls.set_fd(ssl, fd) != 1:
            tls.free(ssl)
            ssl = NULL
    return ssl


cdef inline int shake_hands(Tls *tls, void *ssl) noexcept nogil:
    """Go on with the handshake. Returns 0 if it is done, what epoll has to wait for if it is not, or -1 and errno."""
    cdef int result
    prepare(tls)
    result = tls.do_handshake(ssl)
    if result == 1:
        return 0
    if tls.get_error(ssl, result) == WANT_READ:
        return EPOLLIN
    if tls.get_error(ssl, result) == WANT_WRITE:
        return EPOLLOUT
    if settle(tls, ssl, result) == 0:
        libc.errno.errno = ESHUTDOWN
    return -1


cdef inline ssize_t encrypt(Tls *tls, void *ssl, const void *data, size_t length) noexcept nogil:
    """Send like send(2), at most one record. What EAGAIN refused must be offered again, with what follows it."""
    cdef int result
    prepare(tls)
    result = tls.write(ssl, data, <int>length)
    if result > 0:
        return result
    if settle(tls, ssl, result) == 0:
        libc.errno.errno = ESHUTDOWN
    return -1


cdef inline ssize_t decrypt(Tls *tls, void *ssl, void *data, size_t limit) noexcept nogil:
    """Receive like recv(2), from one record; epoll does not know of what OpenSSL has read beyond (see `unread`)."""
    cdef int result
    prepare(tls)
    result = tls.read(ssl, data, <int>limit)
    return result if result > 0 else settle(tls, ssl, result)


cdef inline bint unread(Tls *tls, void *ssl) noexcept nogil:
    """Whether OpenSSL holds bytes that the kernel has no longer."""
    return ssl != NULL and tls.has_pending(ssl) != 0


cdef inline uint32_t at_once(void *ssl) noexcept nogil:
    """What to watch besides EPOLLIN for what OpenSSL may hold to be read: a socket that can send is reported at once."""
    return EPOLLOUT if ssl != NULL else 0


cdef inline int say_goodbye(Tls *tls, void *ssl) noexcept nogil:
    """Send close_notify. Returns 0, or -1 and errno."""
    cdef int result
    prepare(tls)
    result = tls.shutdown(ssl)
    if result >= 0:
        return 0
    settle(tls, ssl, result)
    return -1
