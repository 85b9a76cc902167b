# cython: language_level=3
"""What the native engine works on: a load as flat structs, its limits, and the kinds of failure."""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from harness.loadgen.head cimport Head
from harness.loadgen.system cimport epoll_event, sockaddr_storage
from harness.loadgen.tls cimport Tls

cdef enum:
    RECEIVE_BYTES = 256 * 1024
    SEND_BYTES = 64 * 1024  # requests of a deep pipeline go out together, as many as fit in here (at least one)
    EVENTS = 256
    START_BATCH = 64  # connections that are opened, or sent their first request, before replies are looked at again
    SPIN_NS = 150_000  # the loop sleeps until this long before a request is due, and watches the clock from then on
    SLICES = 10
    CONTROL = 0xFFFFFFFF
    SHOWN = 16  # bytes quoted about a wrong reply
    SOURCES = 64  # addresses of 127.0.0.0/8 to connect from, where one has no free port left
    SLOW_BUFFER = 4096  # receive buffer of a slow reader, so that the server's own buffers fill up soon

cdef enum:
    REFUSED, RESET, CLOSED, TIMED_OUT, WRONG, UNREACHABLE, NO_DESCRIPTORS, NO_PORTS, BAD_TLS, KINDS

cdef enum Phase:
    OPENING  # connections are made, and verified with one request each
    WINDOW  # measuring
    GRACE  # the window is over; what was due in it may still be answered

cdef struct Connection:
    uint64_t offset  # sequence number of its first request
    uint64_t queued  # requests handed to it, ever; numbers go on through trials and reconnections
    uint64_t sent  # requests that the kernel has wholly taken
    uint64_t answered  # verified replies
    size_t sent_bytes  # how much of request number `sent` the kernel has taken
    size_t reply_bytes  # how much of reply number `answered` has come
    int fd  # -1: not open
    void *ssl  # NULL: not connected yet, or without TLS
    uint64_t last  # requests after which it is replaced, counted like `queued`; UINT64_MAX if it never is
    uint64_t owed  # closed loop: requests that it has to send as soon as it can
    int64_t since  # when it began to connect
    uint32_t interest  # what epoll watches
    uint32_t reading  # EPOLLIN, or 0 while a slow reader pauses
    bint connecting
    bint finishing  # half-closed: the server's end is awaited
    bint verifying  # its first reply is awaited
    Head head  # of reply number `answered`, where replies have one
    bint listed  # stands in the ring of free connections

cdef struct Pause:
    int64_t until
    uint32_t connection

cdef struct Publication:
    uint32_t missing  # subscribers that have not had it
    bint lost  # one of them never will: it has failed

cdef struct Template:
    unsigned char *data
    size_t size
    size_t at
    size_t width
    bint hex  # the sequence is written in hexadecimal digits, not in binary
    bint http  # a reply: a head comes before it

cdef struct Fault:
    bint seen
    int head  # what is wrong with the head of a reply, 0 if it was not the head
    bint excess  # more came than was owed
    uint32_t connection
    uint64_t number
    size_t offset
    size_t length
    unsigned char expected[SHOWN]
    unsigned char received[SHOWN]

cdef struct Load:
    int epoll
    Tls tls
    sockaddr_storage address
    uint32_t address_length
    int family
    Connection *connections
    uint32_t active
    uint32_t asking  # how many of the active ones send requests: all, but with fan-out the first alone
    uint32_t total
    uint32_t first_slow  # slow readers come last
    uint32_t open_active
    uint32_t changing  # connections that are connecting or finishing
    uint32_t source  # which of the source addresses is in use
    bint loopback
    uint64_t churn  # requests after which a connection is replaced; 0: never
    bint half_close
    bint fan_out
    int leaving  # with fan-out: the former publisher, whose connection the server has yet to close; -1: there is none
    Publication *publications  # with fan-out: the publisher's n-th request at n % depth
    uint64_t depth
    uint64_t batch  # requests in the send buffer
    Template request
    Template reply
    unsigned char *inbox
    int64_t *stamps  # of connection c's n-th request at c * depth + n % depth: when it was sent, or due
    uint64_t *latency
    uint64_t *slip
    uint64_t *connection_times
    int64_t highest  # time in nanoseconds from which histograms tell no longer ones apart
    epoll_event *events
    # the trial
    Phase phase
    bint open_loop
    bint busy  # watches for replies without sleeping
    bint paced  # something is due by the clock: open loop, or think time
    bint aborted
    int64_t now
    int64_t start
    int64_t end
    int64_t give_up
    int64_t stopped
    int64_t next_due
    int64_t think
    int64_t slice_end
    int64_t slice_length
    uint32_t slice
    uint64_t slices[SLICES]
    uint64_t due
    uint64_t sent
    uint64_t replied
    uint64_t failed
    uint64_t outstanding
    uint64_t in_flight
    uint64_t waiting
    uint64_t late
    uint64_t opened
    uint64_t slow_replied
    uint64_t errors[KINDS]
    int64_t cpu
    int64_t spun
    Fault fault
    # open loop: dues[0:taken] were sent, dues[taken:noticed] wait for a connection, the rest is not due yet
    const int64_t *dues
    uint64_t due_count
    uint64_t noticed
    uint64_t taken
    uint32_t *ring  # free connections, the longest free first
    uint32_t ring_head
    uint32_t ring_count
    # think time: who may send again when, in order, because all think equally long
    Pause *pauses
    uint64_t pause_capacity
    uint64_t pause_head
    uint64_t pause_count
    # slow readers: who may read again when, in order, because all pause equally long
    Pause *sleepers
    uint32_t sleeper_head
    uint32_t sleeper_count
    int64_t slow_pause
    size_t slow_bytes  # read at most before each pause
    uint32_t begun  # closed loop: connections that have sent their first requests
