"""What an interpreter needs to run thousands of threads, for the backends that do."""

import sys
import threading

STACK_SIZE_BYTES = 256 * 1024
"""Enough for a session; the usual 8 MiB each would reserve 80 GB of address space for 10,000 connections."""

SWITCH_INTERVAL_S = 0.05
"""How long a thread that waits for the interpreter's lock sleeps before it asks for it.

All that wait wake up that often: with the usual 5 ms, thousands of them keep the machine busy with waking up, and a
request to each of 9,500 connections at once took 22 s instead of 4. A thread that does I/O gives the lock up by itself,
so nobody waits longer for that; only sessions that compute hold others up for more.
"""


def prepare_for_many_threads() -> None:
    """Set the stacks of threads to come and the switch interval."""
    threading.stack_size(STACK_SIZE_BYTES)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
