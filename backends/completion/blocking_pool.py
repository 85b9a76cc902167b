"""The operating system's part of simulated asynchronous I/O: a pool of threads that executes blocking operations."""

import errno
import queue
import sys
import threading
from collections.abc import Callable
from typing import Any


class Pool:
    """Executes operations and queues their completions. One thread submits and takes the completions.

    Every unfinished operation has a thread to itself, so that none waits behind one that waits for its peer: the pool
    grows to as many threads as operations were ever unfinished at once, and reuses them.
    """

    def __init__(self) -> None:
        self._operations: queue.SimpleQueue[tuple[Callable[[Any], Any], Any, Callable[[Any], None]]]
        self._completions: queue.SimpleQueue[tuple[Callable[[Any], None], Any]]
        self._operations, self._completions = queue.SimpleQueue(), queue.SimpleQueue()
        self._put, self._get = self._operations.put, self._completions.get
        self._threads = 0
        self._unfinished = 0

    def submit(self, call: Callable[[Any], Any], argument: object, done: Callable[[Any], None]) -> None:
        """Have `call(argument)` executed; its completion calls `done` with the result, an OSError if it failed."""
        self._unfinished += 1
        if self._unfinished > self._threads:
            self._grow()
        self._put((call, argument, done))

    def complete(self, timeout_s: float | None) -> None:
        """Wait for a completion, at most so many seconds, and call its `done`.

        Raises:
            queue.Empty: There was none in time.
        """
        done, result = self._get(timeout=timeout_s)
        self._unfinished -= 1
        done(result)

    @property
    def exhausted(self) -> bool:
        """Whether operations wait for a thread because the system has no more."""
        return self._unfinished > self._threads

    def _grow(self) -> None:
        try:
            threading.Thread(target=self._execute, daemon=True).start()
        except RuntimeError as error:
            print(f"an operation waits for a thread: {error} beside {self._threads}", file=sys.stderr)
        else:
            self._threads += 1

    def _execute(self) -> None:
        take, put = self._operations.get, self._completions.put
        while True:
            call, argument, done = take()
            try:
                result = call(argument)
            except OSError as error:
                result = error
            except MemoryError:
                result = OSError(errno.ENOMEM, "no memory for the result")
            put((done, result))
            del call, argument, done, result  # A thread that waits keeps no connection and no data alive.
