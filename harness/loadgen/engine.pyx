# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The native engine: the measuring loop without interpreter, without GIL and without allocation. Linux (epoll) only.

`harness.loadgen.portable` is its twin in Python: the same interface and results, and the same tests. Everything a trial
touches is allocated before it starts: flat arrays of connections, of send times and of histogram counters, one send
buffer and one receive buffer for all connections. A connection has no buffer of its own: what it sends is the request
template, what it must receive is the reply template, and both are stamped with its sequence number right before use,
which is safe because one thread does everything.
"""

import ipaddress

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID, timespec
from posix.unistd cimport close

from harness.loadgen.counting cimport count_value
from harness.loadgen.head cimport BODY, Head, restart_head, take_head
from harness.loadgen.load cimport (
    CONTROL, EVENTS, GRACE, KINDS, OPENING, RECEIVE_BYTES, SEND_BYTES, SLICES, SPIN_NS, START_BATCH, TIMED_OUT, WINDOW,
    Connection, Fault, Load, Pause, Publication, Template,
)
from harness.loadgen.pace cimport close_window, enlist, notice, pause, send_owed, wake_sleepers
from harness.loadgen.reply cimport poll_events
from harness.loadgen.system cimport (
    AF_INET, AF_INET6, AF_UNIX, clock_ns, EPOLL_CLOEXEC, epoll_create1, epoll_ctl, EPOLL_CTL_ADD, epoll_event, EPOLLIN,
    EPOLLRDHUP, htons, INT64_MAX, MSG_DONTWAIT, pollfd, POLLIN, ppoll, PR_SET_TIMERSLACK, prctl, recv, sched_yield,
    sockaddr_in, sockaddr_in6, sockaddr_un, UINT64_MAX,
)
from harness.loadgen.tls cimport Tls, at_once, say_goodbye
from harness.loadgen.wire cimport fail, flush, give_back, hang_up, open_one, queue, watch

from harness.loadgen.framing import FAULTS
from harness.loadgen.histogram import COUNTS, HIGHEST_NS, encode_counts
from harness.loadgen.openssl import TlsClient
from harness.loadgen.schedule import due_times
from harness.loadgen.spec import UNIX, ConnectResult, TrialResult, left_without, sequence_offset

KIND_NAMES = ("refused", "reset", "closed", "timed out", "wrong", "unreachable", "no descriptors", "no ports", "TLS")
"""What the kinds of `load.pxd` are called, in their order."""

cdef size_t COUNTERS = COUNTS


cdef inline int until_ms(int64_t now, int64_t moment) noexcept nogil:
    """Return the milliseconds until a moment, rounded up, for epoll_wait: at least 0, at most a second."""
    if moment <= now:
        return 0
    if moment - now > 1_000_000_000:
        return 1000
    return <int>((moment - now + 999_999) // 1_000_000)


cdef void open_missing(Load *load, int64_t patience, int64_t deadline, int64_t interval) noexcept nogil:
    """Open and verify every connection that is not open, and give up when none makes progress.

    One is begun every `interval` nanoseconds, or some at a time where that is 0.
    """
    cdef uint32_t next_index = 0
    cdef uint32_t index, pending, before
    cdef int64_t limit, next_time
    load.phase = OPENING
    load.now = next_time = clock_ns(CLOCK_MONOTONIC)
    limit = load.now + patience
    before = 0
    while not load.aborted:
        pending = 0
        for index in range(next_index):
            pending += load.connections[index].verifying
        while next_index < load.total and (load.now >= next_time if interval else pending < START_BATCH):
            if load.connections[next_index].fd < 0:
                open_one(load, next_index)
                pending += load.connections[next_index].verifying
                next_time += interval
            next_index += 1
        if pending == 0 and next_index == load.total:
            break
        if pending == 0 or next_index - pending != before:
            before = next_index - pending
            limit = load.now + patience
        if limit > deadline:
            limit = deadline
        if load.now >= limit:
            break
        if interval and next_index < load.total and next_time < limit:
            poll_events(load, until_ms(load.now, next_time))
        else:
            poll_events(load, until_ms(load.now, limit))
        load.now = clock_ns(CLOCK_MONOTONIC)
    for index in range(load.total):
        if load.connections[index].verifying or (load.connections[index].fd < 0 and index >= next_index):
            fail(load, index, TIMED_OUT)


cdef void see_off(Load *load, int64_t limit) noexcept nogil:
    """Fan-out: wait until the server has closed the former publisher, or it would send its last to those that join."""
    cdef ssize_t got
    while load.leaving >= 0:
        got = recv(load.leaving, load.inbox, RECEIVE_BYTES, MSG_DONTWAIT)
        load.now = clock_ns(CLOCK_MONOTONIC)
        if (got > 0 or (got < 0 and errno == EAGAIN)) and load.now < limit and not load.aborted:
            poll_events(load, until_ms(load.now, limit))
        else:
            close(load.leaving)
            load.leaving = -1


cdef void begin_slow(Load *load) noexcept nogil:
    """Have every slow reader read, and ask for as many replies as it may."""
    cdef uint32_t index
    cdef Connection *connection
    load.sleeper_head = load.sleeper_count = 0
    for index in range(load.first_slow, load.total):
        connection = &load.connections[index]
        connection.reading = EPOLLIN
        if connection.fd >= 0:
            while connection.queued - connection.answered < load.depth:
                queue(load, index, load.now)
            flush(load, index)
        if connection.fd >= 0:
            watch(load, index, connection.interest | at_once(connection.ssl))


cdef void begin(Load *load, int64_t duration) noexcept nogil:
    """Set the counters of a trial to nothing and open its window."""
    cdef uint32_t index
    cdef uint64_t number, places
    load.due = load.sent = load.replied = load.failed = load.in_flight = load.waiting = load.late = 0
    load.noticed = load.taken = 0
    load.ring_head = load.ring_count = 0
    load.pause_head = load.pause_count = 0
    load.begun = 0
    load.stopped = 0
    load.spun = 0
    load.opened = load.slow_replied = 0
    memset(load.connection_times, 0, COUNTERS * sizeof(uint64_t))
    memset(load.slices, 0, sizeof(load.slices))
    for index in range(load.active):
        load.connections[index].listed = False
        load.connections[index].owed = 0
        load.connections[index].last = load.connections[index].queued + load.churn if load.churn else UINT64_MAX
        if load.open_loop and index < load.asking and load.connections[index].fd >= 0:
            enlist(load, index)
        if load.fan_out:
            load.connections[index].answered = load.connections[0].queued  # the number of the next that it receives
    if load.fan_out and (load.connections[0].fd < 0 or load.open_active == 1):
        hang_up(load)
    load.phase = WINDOW
    load.cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID)
    load.start = load.now = clock_ns(CLOCK_MONOTONIC)
    load.end = load.start + duration
    load.slice = 0
    load.slice_length = duration // SLICES
    load.slice_end = load.start + load.slice_length
    load.next_due = INT64_MAX
    begin_slow(load)
    if load.think:
        # The first requests spread over one think time, so that connections do not march in step.
        places = load.asking * load.depth
        for number in range(places):
            pause(load, <uint32_t>(number % load.asking), load.start + <int64_t>(load.think * number // places))
    if load.paced:
        notice(load)


cdef inline void begin_connections(Load *load, int replies) noexcept nogil:
    """Send the first requests of some connections more, at least as many as replies came in the round before.

    Not of all at once, or the first replies would wait for the last requests.
    """
    cdef int batch = 0
    cdef int limit = START_BATCH if replies < START_BATCH else replies
    while batch < limit and load.begun < load.asking:
        if load.connections[load.begun].fd >= 0:
            load.now = clock_ns(CLOCK_MONOTONIC)
            load.connections[load.begun].owed = load.depth
            send_owed(load, load.begun)
            batch += 1
        load.begun += 1


cdef inline bint settled(Load *load) noexcept nogil:
    """Whether nothing is on its way any more, lost publications included, which still reach the other subscribers."""
    return not load.fan_out or load.connections[0].answered == load.connections[0].queued


cdef void measure(Load *load) noexcept nogil:
    """The measuring loop: from the start of the window to the end of the grace."""
    cdef pollfd watched
    cdef timespec sleep
    cdef int64_t horizon, gap, before
    cdef bint spinning
    cdef int timeout_ms
    cdef int found = 0
    watched.fd = load.epoll
    watched.events = POLLIN
    while not load.aborted:
        if load.phase == WINDOW and load.now >= load.end:
            close_window(load)
        if load.phase == GRACE and (
            (load.outstanding == 0 and settled(load) and load.taken == load.noticed and load.changing == 0)
            or load.now >= load.give_up
        ):
            break
        if load.open_active == 0:
            load.stopped = load.now
            break
        horizon = load.end if load.phase == WINDOW else load.give_up
        if load.sleeper_count:
            wake_sleepers(load)
            if load.sleeper_count and load.sleepers[load.sleeper_head].until < horizon:
                horizon = load.sleepers[load.sleeper_head].until
        spinning = load.busy and load.phase == WINDOW
        timeout_ms = 0 if spinning else until_ms(load.now, horizon)
        if load.phase == WINDOW and load.paced:
            if load.now >= load.next_due:
                notice(load)
            if load.next_due < horizon:
                horizon = load.next_due
            gap = horizon - load.now - SPIN_NS
            if spinning:
                pass
            elif gap > 0:
                # ppoll on the epoll descriptor, because epoll_wait counts in milliseconds and epoll_pwait2 is young.
                sleep.tv_sec = gap // 1_000_000_000
                sleep.tv_nsec = gap % 1_000_000_000
                ppoll(&watched, 1, &sleep, NULL)
            else:
                spinning = True
            timeout_ms = 0
        elif load.phase == WINDOW and load.begun < load.asking:
            begin_connections(load, found)
            timeout_ms = 0
        before = load.now
        found = poll_events(load, timeout_ms)
        load.now = clock_ns(CLOCK_MONOTONIC)
        if spinning and found == 0:
            load.spun += load.now - before
            if load.busy:
                sched_yield()  # kernel threads that carry packets get the CPU at once, not at the end of a slice


cdef void end_publications(Load *load) noexcept nogil:
    """Fan-out: give up what has not reached everybody. Then the next trial begins anew."""
    cdef Connection *publisher = &load.connections[0]
    cdef Connection *connection
    cdef uint64_t number
    cdef uint32_t index
    for number in range(publisher.answered, publisher.queued):
        load.errors[TIMED_OUT] += not load.publications[number % load.depth].lost
    load.outstanding = 0
    if publisher.answered < publisher.queued:
        hang_up(load)
    for index in range(load.active):
        connection = &load.connections[index]
        connection.sent = connection.answered = connection.queued
        connection.sent_bytes = connection.reply_bytes = 0
        restart_head(&connection.head)


cdef void finish(Load *load) noexcept nogil:
    """Close the window if the trial was cut short, and give up what is still unanswered."""
    cdef uint32_t index
    cdef Connection *connection
    if load.phase == WINDOW:
        load.end = load.now
        close_window(load)
    load.errors[TIMED_OUT] += load.noticed - load.taken
    load.taken = load.noticed
    if load.fan_out:
        end_publications(load)
        return
    for index in range(load.active):
        connection = &load.connections[index]
        if connection.queued != connection.answered or connection.connecting or connection.finishing:
            fail(load, index, TIMED_OUT)


def count_values(values):
    """Return the counters of these times in nanoseconds as `COUNTS` native 64-bit numbers, counted as the engine does."""
    cdef bytes counts = bytes(8 * COUNTS)
    for value in values:
        count_value(<uint64_t *><char *>counts, value, HIGHEST_NS)
    return counts


def take_heads(pieces, long long due):
    """Feed these pieces to one head as the engine does; return its state, its fault, and the bytes it took of each."""
    cdef Head head
    cdef bytes data
    restart_head(&head)
    taken = []
    for piece in pieces:
        data = piece
        if not head.fault and head.state != BODY:
            taken.append(take_head(&head, <const unsigned char *><const char *>data, len(data), due))
    return head.state, head.fault, taken


cdef class NativeEngine:
    """Opens the connections of a cell and runs its trials.

    Args:
        spec: The load.
        control_fd: A socket whose end of file means: give up at once; -1 if there is none.

    Raises:
        OSError: There is no epoll instance to be had.
        OpensslError: TLS is asked for and cannot be had.
        ValueError: `host` is no IP address.
    """

    name = "native"

    cdef Load load
    cdef object spec
    cdef object tls
    cdef str negotiated
    cdef int trials

    def __cinit__(self):
        memset(&self.load, 0, sizeof(self.load))
        self.load.epoll = self.load.leaving = -1

    def __init__(self, spec, int control_fd=-1):
        cdef Load *load = &self.load
        cdef uint32_t index
        cdef epoll_event event
        cdef uint64_t number
        cdef uint64_t copies
        self.spec = spec
        load.highest = HIGHEST_NS
        load.active = spec.connections
        load.fan_out = spec.fan_out
        load.asking = 1 if spec.fan_out else spec.connections
        load.first_slow = spec.connections + spec.idle_connections
        load.total = load.first_slow + spec.slow_connections
        load.churn = spec.requests_per_connection
        load.half_close = spec.half_close
        load.busy = spec.busy_wait
        self.set_address(spec.host, spec.port)
        self.negotiated = ""
        if spec.authority:
            self.set_tls(spec.authority, spec.host)
        if spec.slow_connections:
            slow_bytes, load.slow_pause = spec.slow_reading()
            load.slow_bytes = min(slow_bytes, RECEIVE_BYTES)
            load.sleepers = <Pause *>self.allocate(spec.slow_connections, sizeof(Pause))
        load.depth = spec.pipeline_depth
        load.open_loop = spec.arrivals.open_loop
        load.think = round(spec.think_time_s * 1e9)
        load.paced = load.open_loop or load.think > 0
        copies = max(1, min(load.depth, SEND_BYTES // len(spec.request.data)))
        load.batch = copies
        self.set_template(&load.request, spec.request, copies)
        self.set_template(&load.reply, spec.reply, 1)
        load.connections = <Connection *>self.allocate(load.total, sizeof(Connection))
        load.stamps = <int64_t *>self.allocate(load.total * load.depth, sizeof(int64_t))
        load.publications = <Publication *>self.allocate(load.depth, sizeof(Publication))
        load.latency = <uint64_t *>self.allocate(COUNTS, sizeof(uint64_t))
        load.slip = <uint64_t *>self.allocate(COUNTS, sizeof(uint64_t))
        load.connection_times = <uint64_t *>self.allocate(COUNTS, sizeof(uint64_t))
        load.inbox = <unsigned char *>self.allocate(RECEIVE_BYTES, 1)
        load.events = <epoll_event *>self.allocate(EVENTS, sizeof(epoll_event))
        load.ring = <uint32_t *>self.allocate(load.active, sizeof(uint32_t))
        load.pause_capacity = load.active * load.depth
        if load.think:
            load.pauses = <Pause *>self.allocate(load.pause_capacity, sizeof(Pause))
        for index in range(load.total):
            load.connections[index].fd = -1
            restart_head(&load.connections[index].head)
            load.connections[index].offset = sequence_offset(spec.first_connection + index)
        load.epoll = epoll_create1(EPOLL_CLOEXEC)
        if load.epoll < 0:
            raise OSError(errno, "epoll_create1")
        if control_fd >= 0:
            event.events = EPOLLRDHUP
            event.data.u32 = CONTROL
            if epoll_ctl(load.epoll, EPOLL_CTL_ADD, control_fd, &event) < 0:
                raise OSError(errno, "the control descriptor cannot be watched")
        prctl(PR_SET_TIMERSLACK, 1)  # the default of 50 us would be added to every sleep

    def __dealloc__(self):
        self.release()

    def close(self):
        """Close every connection."""
        self.close_sockets()

    def connect(self):
        """Open every connection and verify each with one request.

        Takes at most the grace plus 10 ms a connection, and gives up earlier when none is made within the grace.

        Raises:
            EOFError: The control socket was closed.
        """
        cdef int64_t patience = round(self.spec.grace_s * 1e9)
        cdef double ramp = self.spec.connections_per_s
        cdef int64_t interval = <int64_t>(1e9 / ramp) if ramp else 0
        cdef int64_t deadline = patience + (10_000_000 + interval) * <int64_t>self.load.total
        deadline += clock_ns(CLOCK_MONOTONIC)
        self.forget_errors()
        memset(self.load.connection_times, 0, COUNTERS * sizeof(uint64_t))
        with nogil:
            open_missing(&self.load, patience, deadline, interval)
        self.refuse_abort()
        self.describe_tls()
        opened = [self.load.connections[index].fd >= 0 for index in range(self.load.total)]
        return ConnectResult(
            connected=sum(opened[: self.load.active]),
            idle=sum(opened[self.load.active : self.load.first_slow]),
            slow=sum(opened[self.load.first_slow :]),
            errors=self.errors(),
            fault=self.fault(),
            connection_time=self.text_of(self.load.connection_times),
        )

    def trial(self, double duration_s):
        """Open what broke since the last trial, then measure for this many seconds, and wait for stragglers.

        Takes at most the duration and twice the grace (one for opening what broke).

        Raises:
            EOFError: The control socket was closed.
            ValueError: The duration is not above 0, or absurd.
        """
        cdef Load *load = &self.load
        cdef int64_t duration
        cdef int64_t grace = round(self.spec.grace_s * 1e9)
        cdef Py_buffer view
        if not 1e-9 <= duration_s <= 1e9:
            raise ValueError(f"duration_s is {duration_s:g}, must be above 0 and at most 1e9")
        duration = round(duration_s * 1e9)
        dues = due_times(self.spec.arrivals, duration_s, self.trials) if load.open_loop else b""
        if self.spec.parts > 1:
            dues = dues[self.spec.part :: self.spec.parts]
        self.trials += 1
        self.forget_errors()
        memset(load.latency, 0, COUNTS * sizeof(uint64_t))
        memset(load.slip, 0, COUNTS * sizeof(uint64_t))
        PyObject_GetBuffer(dues, &view, PyBUF_SIMPLE)
        load.dues = <const int64_t *>view.buf
        load.due_count = view.len // sizeof(int64_t)
        load.noticed = load.taken = 0
        with nogil:
            load.phase = OPENING
            see_off(load, clock_ns(CLOCK_MONOTONIC) + grace)
            poll_events(load, 0)  # who closed since the last trial?
            open_missing(load, grace, clock_ns(CLOCK_MONOTONIC) + grace, 0)
            if not load.aborted:
                begin(load, duration)
                load.give_up = load.end + grace
                measure(load)
                finish(load)
        load.dues = NULL
        PyBuffer_Release(&view)
        self.refuse_abort()
        seconds = (load.end - load.start) / 1e9
        return TrialResult(
            engine=self.name,
            loop="open" if load.open_loop else "closed",
            duration_s=seconds,
            sent=load.sent,
            replied=load.replied,
            failed=load.failed,
            in_flight=load.in_flight,
            late=load.late,
            errors=self.errors(),
            latency=self.text_of(load.latency),
            slices=[load.slices[index] for index in range(SLICES)],
            cpu_s=load.cpu / 1e9,
            fault=self.fault(),
            due=load.due if load.open_loop else load.sent,
            waiting=load.waiting if load.open_loop else 0,
            slip=self.text_of(load.slip) if load.paced else "",
            spun_s=load.spun / 1e9,
            stopped=f"{left_without(self.spec)} after {seconds:.3f} s" if load.stopped else "",
            opened=load.opened,
            connection_time=self.text_of(load.connection_times) if load.churn else "",
            slow_replied=load.slow_replied,
            tls=self.negotiated,
        )

    cdef str text_of(self, uint64_t *counts):
        return encode_counts((<char *>counts)[: COUNTERS * sizeof(uint64_t)])

    cdef void *allocate(self, size_t count, size_t size) except NULL:
        cdef void *memory = calloc(count, size)
        if memory == NULL:
            raise MemoryError(f"no memory for {count} x {size} bytes")
        return memory

    cdef int set_template(self, Template *template, message, uint64_t copies) except -1:
        cdef bytes data = message.data
        cdef uint64_t number
        template.size = len(data)
        template.at = message.sequence_at
        template.width = message.sequence_width
        template.hex = message.sequence_encoding == "hex"
        template.http = message.framing == "http"
        template.data = <unsigned char *>self.allocate(copies, template.size)
        for number in range(copies):
            memcpy(template.data + number * template.size, <const char *>data, template.size)
        return 0

    cdef int set_address(self, host, int port) except -1:
        cdef Load *load = &self.load
        cdef bytes packed
        cdef sockaddr_in *four = <sockaddr_in *>&load.address
        cdef sockaddr_in6 *six = <sockaddr_in6 *>&load.address
        cdef sockaddr_un *path = <sockaddr_un *>&load.address
        if host.startswith(UNIX):
            packed = host.removeprefix(UNIX).encode()
            load.family = AF_UNIX
            load.address_length = sizeof(sockaddr_un)
            if packed.startswith(b"@"):
                # An abstract name is as long as it is; a path ends with a zero (unix(7)).
                packed = b"\0" + packed[1:]
                load.address_length = <unsigned int>(sizeof(path.sun_family) + len(packed))
            path.sun_family = <uint16_t>AF_UNIX
            memcpy(path.sun_path, <const char *>packed, len(packed))
            return 0
        address = ipaddress.ip_address(host)
        packed = address.packed
        if address.version == 4:
            load.family = AF_INET
            load.loopback = address.is_loopback
            load.address_length = sizeof(sockaddr_in)
            four.sin_family = <uint16_t>AF_INET
            four.sin_port = htons(port)
            memcpy(&four.sin_addr, <const char *>packed, 4)
        else:
            load.family = AF_INET6
            load.address_length = sizeof(sockaddr_in6)
            six.sin6_family = <uint16_t>AF_INET6
            six.sin6_port = htons(port)
            memcpy(&six.sin6_addr, <const char *>packed, 16)
        return 0

    cdef int set_tls(self, authority, host) except -1:
        cdef Tls *tls = &self.load.tls
        self.tls = TlsClient(authority, host)
        functions = self.tls.functions
        tls.new = <void *(*)(void *) noexcept nogil><uintptr_t>functions["SSL_new"]
        tls.free = <void (*)(void *) noexcept nogil><uintptr_t>functions["SSL_free"]
        tls.set_fd = <int (*)(void *, int) noexcept nogil><uintptr_t>functions["SSL_set_fd"]
        tls.set_connect_state = <void (*)(void *) noexcept nogil><uintptr_t>functions["SSL_set_connect_state"]
        tls.do_handshake = <int (*)(void *) noexcept nogil><uintptr_t>functions["SSL_do_handshake"]
        tls.read = <int (*)(void *, void *, int) noexcept nogil><uintptr_t>functions["SSL_read"]
        tls.write = <int (*)(void *, const void *, int) noexcept nogil><uintptr_t>functions["SSL_write"]
        tls.has_pending = <int (*)(const void *) noexcept nogil><uintptr_t>functions["SSL_has_pending"]
        tls.shutdown = <int (*)(void *) noexcept nogil><uintptr_t>functions["SSL_shutdown"]
        tls.get_error = <int (*)(const void *, int) noexcept nogil><uintptr_t>functions["SSL_get_error"]
        tls.clear_error = <void (*)() noexcept nogil><uintptr_t>functions["ERR_clear_error"]
        tls.peek_error = <unsigned long (*)() noexcept nogil><uintptr_t>functions["ERR_peek_error"]
        tls.context = <void *><uintptr_t>self.tls.context
        return 0

    cdef int describe_tls(self) except -1:
        cdef uint32_t index
        for index in range(self.load.total):
            if self.load.connections[index].ssl != NULL:
                self.negotiated = self.tls.describe(<uintptr_t>self.load.connections[index].ssl)
                break
        return 0

    cdef void forget_errors(self) noexcept:
        self.load.tls.fault = 0
        memset(self.load.errors, 0, sizeof(self.load.errors))
        memset(&self.load.fault, 0, sizeof(self.load.fault))

    cdef dict errors(self):
        counts = {KIND_NAMES[kind]: self.load.errors[kind] for kind in range(KINDS) if self.load.errors[kind]}
        if "TLS" in counts:
            counts[f"TLS: {self.tls.reason(self.load.tls.fault)}"] = counts.pop("TLS")
        return counts

    cdef str fault(self):
        cdef Fault *fault = &self.load.fault
        if not fault.seen:
            return ""
        received = (<char *>fault.received)[: fault.length].hex(" ")
        if fault.excess:
            return f"connection {fault.connection}: {received} came after reply {fault.number}, when nothing was owed"
        if fault.head:
            quoted = (<char *>fault.received)[: fault.length]
            return f"connection {fault.connection}, reply {fault.number + 1}: {FAULTS[fault.head]}, at {quoted!r}"
        expected = (<char *>fault.expected)[: fault.length].hex(" ")
        return (
            f"connection {fault.connection}, reply {fault.number + 1}, byte {fault.offset}: "
            f"expected {expected}, received {received}"
        )

    cdef int refuse_abort(self) except -1:
        if self.load.aborted:
            raise EOFError("the control socket was closed")
        return 0

    cdef void close_sockets(self) noexcept:
        cdef uint32_t index
        cdef Load *load = &self.load
        if load.connections != NULL:
            for index in range(load.total):
                if load.connections[index].fd >= 0:
                    if load.connections[index].ssl != NULL:
                        say_goodbye(&load.tls, load.connections[index].ssl)
                    give_back(load, &load.connections[index])
        load.open_active = 0
        if load.leaving >= 0:
            close(load.leaving)
            load.leaving = -1
        if load.epoll >= 0:
            close(load.epoll)
            load.epoll = -1

    cdef void release(self) noexcept:
        cdef Load *load = &self.load
        self.close_sockets()
        free(load.connections)
        free(load.stamps)
        free(load.publications)
        free(load.latency)
        free(load.slip)
        free(load.connection_times)
        free(load.sleepers)
        free(load.inbox)
        free(load.events)
        free(load.ring)
        free(load.pauses)
        free(load.request.data)
        free(load.reply.data)
