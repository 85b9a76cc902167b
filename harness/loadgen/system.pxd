# cython: language_level=3
"""The system calls of the native engine and their constants, as the C headers declare them, and the clock."""

from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t
from posix.time cimport clock_gettime, timespec

cdef extern from "<stdint.h>":
    int64_t INT64_MAX
    uint64_t UINT64_MAX

cdef extern from "<sys/socket.h>" nogil:
    struct sockaddr:
        pass
    struct sockaddr_storage:
        uint16_t ss_family
    int AF_INET, AF_INET6, AF_UNIX, SOCK_STREAM, SOCK_NONBLOCK, SOCK_CLOEXEC, SOL_SOCKET, SO_ERROR, SO_RCVBUF, SHUT_WR
    int MSG_DONTWAIT, MSG_NOSIGNAL
    int socket_ "socket"(int domain, int kind, int protocol)
    int bind_ "bind"(int fd, const sockaddr *address, uint32_t length)
    int shutdown_ "shutdown"(int fd, int how)
    int connect_ "connect"(int fd, const sockaddr *address, uint32_t length)
    int setsockopt(int fd, int level, int name, const void *value, uint32_t length)
    int getsockopt(int fd, int level, int name, void *value, uint32_t *length)
    ssize_t send(int fd, const void *data, size_t length, int flags)
    ssize_t recv(int fd, void *data, size_t length, int flags)

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        uint32_t s_addr
    struct in6_addr:
        pass
    struct sockaddr_in:
        uint16_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        uint16_t sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
    uint16_t htons(uint16_t port)
    uint32_t htonl(uint32_t address)
    int IPPROTO_IP, IPPROTO_TCP, IP_BIND_ADDRESS_NO_PORT

cdef extern from "<netinet/tcp.h>" nogil:
    int TCP_NODELAY

cdef extern from "<sys/un.h>" nogil:
    struct sockaddr_un:
        uint16_t sun_family
        char sun_path[108]

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        uint32_t u32
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_MOD
    uint32_t EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP, EPOLLRDHUP
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int fd, epoll_event *event)
    int epoll_wait(int epoll, epoll_event *events, int limit, int timeout_ms)

cdef extern from "<poll.h>" nogil:
    struct pollfd:
        int fd
        short events
    short POLLIN
    int ppoll(pollfd *watched, unsigned long count, const timespec *timeout, const void *mask)

cdef extern from "<sys/prctl.h>" nogil:
    int PR_SET_TIMERSLACK
    int prctl(int option, unsigned long value)


cdef inline int64_t clock_ns(int clock) noexcept nogil:
    cdef timespec now
    clock_gettime(clock, &now)
    return <int64_t>now.tv_sec * 1_000_000_000 + now.tv_nsec
