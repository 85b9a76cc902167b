"""A ring of io_uring(7): requests go in, completions come out, and one system call a turn does both for all of them.

The kernel's interface is memory that it shares with the process, and three system calls; both are within reach of the
standard library (mmap, ctypes), so there is nothing to install or to build and any interpreter will do. Layouts and
constants are those of linux/io_uring.h.

No memory barriers are needed, although Python has none: with IORING_SETUP_DEFER_TASKRUN the kernel touches the rings
only inside io_uring_enter(2), called by this very thread.
"""

import ctypes
import errno
import mmap
import os
import struct

SETUP, ENTER, REGISTER = 425, 426, 427
"""Numbers of the system calls, on every architecture but alpha."""

SETUP_FLAGS = 1 << 3 | 1 << 4 | 1 << 7 | 1 << 12 | 1 << 13 | 1 << 16
"""CQSIZE, CLAMP, SUBMIT_ALL, SINGLE_ISSUER, DEFER_TASKRUN and NO_SQARRAY."""

SQES_OFFSET = 0x10000000
"""Where mmap(2) finds the requests; the rings themselves are at 0."""

WAIT, WAIT_WITH_TIMEOUT = 1 << 0, 1 << 0 | 1 << 3
"""Flags of io_uring_enter: GETEVENTS, and with EXT_ARG."""

REGISTER_BUFFER_RING, INCREMENTAL = 22, 2
"""IORING_REGISTER_PBUF_RING, and IOU_PBUF_RING_INC: what a receive leaves of a buffer is for the next."""

POLL, ACCEPT, CANCEL, CLOSE, SEND, RECEIVE = 6, 13, 14, 19, 26, 27
"""Operations: IORING_OP_POLL_ADD, ACCEPT, ASYNC_CANCEL, CLOSE, SEND and RECV."""

FROM_BUFFERS, SILENT_SUCCESS = 1 << 5, 1 << 6
"""Flags of a request: IOSQE_BUFFER_SELECT and CQE_SKIP_SUCCESS, without which each request has its completion."""

ACCEPT_MULTISHOT, RECEIVE_MULTISHOT, CANCEL_ALL_OF_FD = 1, 2, 1 | 2
AT_ONCE, WHOLE, NO_SIGNAL = 0x40, 0x100, 0x4000
"""MSG_DONTWAIT, MSG_WAITALL and MSG_NOSIGNAL of send(2)."""

HAS_BUFFER, MORE, BUFFER_MORE, BUFFER_SHIFT = 1, 2, 16, 16
"""Flags of a completion: it used a buffer; its request goes on; its buffer goes on; where the buffer's number is."""

SQ_ENTRIES, CQ_ENTRIES = 1024, 8192
BUFFERS = 32
"""Buffers that all connections share; together they hold what can be received in one turn."""

COPIED_BYTES = 16 * 1024
"""Data up to this size is copied for the kernel, larger data is pinned; the copy costs less there."""

REQUEST = struct.Struct("<BBHiQQIIQHH")
COMPLETION = struct.Struct("<QiI")
BUFFER = struct.Struct("<QIH")


class Ring:
    """Queues requests, submits them when it waits, and returns what is completed.

    Every request carries a token, a number that its completions bring back; 0 is for those that nobody waits for.

    Args:
        buffer_size: Bytes of each buffer, so what one receive brings at most.
    """

    def __init__(self, buffer_size: int) -> None:
        self._buffer_size = buffer_size
        # Declared argument types would make each call 0.7 us slower: numbers go as they are, addresses as c_void_p.
        self._call = ctypes.CDLL(None, use_errno=True).syscall
        parameters = (ctypes.c_uint32 * 30)(0, CQ_ENTRIES, SETUP_FLAGS)
        self._fd = self._checked(SETUP, SQ_ENTRIES, ctypes.byref(parameters))
        try:
            self._map(parameters)
            self._provide_buffers()
        except OSError:
            os.close(self._fd)
            raise

    def _checked(self, number: int, *arguments: object) -> int:
        result: int = self._call(number, *arguments)
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return result

    def _map(self, parameters: "ctypes.Array[ctypes.c_uint32]") -> None:
        """Map the rings. Where their parts are is in `struct io_uring_params`, as offsets in bytes."""
        sq_entries, cq_entries = parameters[0], parameters[1]
        self._completions_at = parameters[25]
        rings = mmap.mmap(self._fd, self._completions_at + cq_entries * COMPLETION.size, flags=SHARED)
        self._requests = mmap.mmap(self._fd, sq_entries * 64, flags=SHARED, offset=SQES_OFFSET)
        self._rings = memoryview(rings)
        self._words = self._rings.cast("I")
        self._sq_head, self._sq_tail, self._cq_head, self._cq_tail = (parameters[at] // 4 for at in (10, 11, 20, 21))
        self._cq_mask, self._sq_mask = cq_entries - 1, sq_entries - 1
        self._tail = self._queued = 0
        self._head = 0
        self._copies = anonymous(SQ_ENTRIES * COPIED_BYTES)
        self._copies_at = address_of(self._copies)
        self._time = (ctypes.c_int64 * 2)()
        # struct io_uring_getevents_arg: no signal mask, the address of the timeout.
        self._wait_argument = (ctypes.c_uint64 * 3)(0, 0, ctypes.addressof(self._time))
        self._wait_at = ctypes.c_void_p(ctypes.addressof(self._wait_argument))
        # The last argument is passed on the stack, where only half of it would be written if it were a plain int.
        self._wait_size = ctypes.c_size_t(ctypes.sizeof(self._wait_argument))

    def _provide_buffers(self) -> None:
        """Register a ring of buffers: the kernel takes one when there is something to put in."""
        self._memory = anonymous(BUFFERS * self._buffer_size)
        self._memory_at = address_of(self._memory)
        self._filled = [number * self._buffer_size for number in range(BUFFERS)]
        self._buffer_ring = anonymous(mmap.PAGESIZE)
        self._buffer_tail = memoryview(self._buffer_ring).cast("H")
        self._provided = 0
        # struct io_uring_buf_reg: address, entries, group 0 and flags.
        registration = struct.pack("<QIHHQQQ", address_of(self._buffer_ring), BUFFERS, 0, INCREMENTAL, 0, 0, 0)
        block = ctypes.create_string_buffer(registration)
        self._checked(REGISTER, self._fd, REGISTER_BUFFER_RING, block, 1)
        for number in range(BUFFERS):
            self._provide(number)

    def _provide(self, number: int) -> None:
        self._filled[number] = start = number * self._buffer_size
        # The last two bytes of the first entry are the ring's tail, so those of an entry are never written.
        at = self._provided % BUFFERS * 16
        BUFFER.pack_into(self._buffer_ring, at, self._memory_at + start, self._buffer_size, number)
        self._provided += 1
        self._buffer_tail[7] = self._provided & 0xFFFF

    def close(self) -> None:
        """Give the ring back; what is unfinished is cancelled."""
        os.close(self._fd)

    # Requests

    def accept(self, fd: int, token: int) -> None:
        """Accept connections until that fails: each completion is a descriptor."""
        self._queue(ACCEPT, 0, ACCEPT_MULTISHOT, fd, 0, 0, os.O_CLOEXEC, token)

    def receive(self, fd: int, token: int) -> None:
        """Receive until the end or an error: each completion is what `take` wants; ENOBUFS means try again."""
        self._queue(RECEIVE, FROM_BUFFERS, RECEIVE_MULTISHOT, fd, 0, 0, 0, token)

    def poll(self, fd: int, events: int, token: int) -> None:
        """Have readiness reported, once; the events are POLLIN and the like."""
        self._queue(POLL, 0, 0, fd, 0, 0, events, token)

    def send(self, fd: int, data: bytes, token: int) -> object:
        """Send all of the data, however long that takes; completes with its length.

        Returns:
            What must be kept until then: the memory that the kernel reads.
        """
        pointer = ctypes.c_char_p(data)
        self._queue(
            SEND, 0, 0, fd, ctypes.c_void_p.from_buffer(pointer).value or 0, len(data), WHOLE | NO_SIGNAL, token
        )
        return pointer

    def send_at_once(self, fd: int, data: bytes, token: int) -> None:
        """Send data of up to COPIED_BYTES without waiting; completes only if that falls short, with the bytes sent."""
        tail = self._tail
        if self._queued == SQ_ENTRIES:
            self._submit()
        slot = tail & self._sq_mask
        at = slot * COPIED_BYTES
        size = len(data)
        self._copies[at : at + size] = data
        REQUEST.pack_into(
            self._requests, slot * 64, SEND, SILENT_SUCCESS, 0, fd, 0, self._copies_at + at, size,
            AT_ONCE | WHOLE | NO_SIGNAL, token, 0, 0,
        )  # fmt: skip
        self._tail = tail + 1
        self._queued += 1

    def cancel(self, token: int) -> None:
        """End the request with this token: it completes with ECANCELED, if it had not before."""
        self._queue(CANCEL, SILENT_SUCCESS, 0, -1, token, 0, 0, 0)

    def cancel_all(self, fd: int) -> None:
        """End all requests of a descriptor."""
        self._queue(CANCEL, SILENT_SUCCESS, 0, fd, 0, 0, CANCEL_ALL_OF_FD, 0)

    def close_fd(self, fd: int) -> None:
        """Close a descriptor, after the requests that were queued before."""
        self._queue(CLOSE, SILENT_SUCCESS, 0, fd, 0, 0, 0, 0)

    def _queue(
        self, operation: int, flags: int, priority: int, fd: int, address: int, length: int, more: int, token: int
    ) -> None:
        if self._queued == SQ_ENTRIES:
            self._submit()
        at = (self._tail & self._sq_mask) * 64
        REQUEST.pack_into(self._requests, at, operation, flags, priority, fd, 0, address, length, more, token, 0, 0)
        self._tail += 1
        self._queued += 1

    def _submit(self) -> None:
        """Submit what is queued, because there is no room for more."""
        self._words[self._sq_tail] = self._tail & 0xFFFFFFFF
        self._checked(ENTER, self._fd, self._queued, 0, 0, None, 0)
        self._queued = (self._tail - self._words[self._sq_head]) & 0xFFFFFFFF

    # Completions

    def complete(self, timeout_s: float | None) -> list[tuple[int, int, int]]:
        """Submit what is queued, wait for a completion, at most so many seconds, and return all that there are.

        Returns:
            (token, result, flags) of each: a negative result is an error number.

        Raises:
            OSError: The ring broke.
        """
        words, fd = self._words, self._fd
        words[self._sq_tail] = self._tail & 0xFFFFFFFF
        if timeout_s is None:
            status = self._call(ENTER, fd, self._queued, 1, WAIT, None, 0)
        else:
            self._time[0], self._time[1] = int(timeout_s), int(timeout_s % 1 * 1e9)
            status = self._call(ENTER, fd, self._queued, 1, WAIT_WITH_TIMEOUT, self._wait_at, self._wait_size)
        if status == self._queued:
            self._queued = 0
        else:
            if status < 0 and ctypes.get_errno() not in PASSING:
                raise OSError(ctypes.get_errno(), f"io_uring_enter: {os.strerror(ctypes.get_errno())}")
            self._queued = (self._tail - words[self._sq_head]) & 0xFFFFFFFF
        head, tail = self._head, words[self._cq_tail]
        if head == tail:
            return []
        start, end = head & self._cq_mask, tail & self._cq_mask
        at, size, rings = self._completions_at, COMPLETION.size, self._rings
        if end == start + 1:
            completions = [COMPLETION.unpack_from(rings, at + start * size)]
        elif start < end:
            completions = list(COMPLETION.iter_unpack(rings[at + start * size : at + end * size]))
        else:
            wrap = at + (self._cq_mask + 1) * size
            completions = list(COMPLETION.iter_unpack(rings[at + start * size : wrap]))
            completions += COMPLETION.iter_unpack(rings[at : at + end * size])
        self._head = words[self._cq_head] = tail
        return completions

    def take(self, size: int, flags: int) -> bytes:
        """Return the bytes of a completed receive. To be called for each that has a buffer, once and in order."""
        number = flags >> BUFFER_SHIFT
        start = self._filled[number]
        end = start + size
        data = self._memory[start:end]
        if flags & BUFFER_MORE:
            self._filled[number] = end
        else:
            self._provide(number)
        return data


SHARED = mmap.MAP_SHARED | mmap.MAP_POPULATE

PASSING = frozenset({errno.ETIME, errno.EINTR, errno.EBUSY, errno.EAGAIN})
"""Errors of io_uring_enter after which the loop just goes on: the timeout, a signal, completions to be taken first."""


def anonymous(size: int) -> mmap.mmap:
    """Return memory of the process's own, in whole pages; a page takes room once it is touched."""
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def address_of(memory: mmap.mmap) -> int:
    """Return the address of mapped memory."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))
