"""What one reply costs as a plain callback, a Deferred, a Future and a coroutine, all on the same asyncio loop.

The work is the same everywhere: 64 bytes in, 64 bytes out, through one step that computes and one that sends. A
Deferred fires its chain at once; a Future calls back in the loop's next turn; a coroutine is resumed by one.

    .venv/bin/pytest benchmarks/test_reply_styles.py --benchmark-enable --benchmark-only
"""

import asyncio
from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from twisted.internet.defer import Deferred

REPLIES = 1000
"""Replies of one round, so that starting and stopping the loop weighs little."""

MESSAGE = bytes(64)

pytestmark = pytest.mark.benchmark(group="one reply, in units of 1,000", min_rounds=20, warmup=True)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop of its own for each benchmark."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


def compute(data: bytes) -> bytes:
    """Answer."""
    return data


def test_plain_callback(benchmark: BenchmarkFixture, loop: asyncio.AbstractEventLoop) -> None:
    """The loop calls back; the callback computes and sends."""
    sent: list[bytes] = []

    def arrive() -> None:
        sent.append(compute(MESSAGE))
        if len(sent) % REPLIES:
            loop.call_soon(arrive)
        else:
            loop.stop()

    def replies() -> None:
        loop.call_soon(arrive)
        loop.run_forever()

    benchmark(replies)
    assert sent[-1] == MESSAGE


def test_deferred(benchmark: BenchmarkFixture, loop: asyncio.AbstractEventLoop) -> None:
    """The same through a chain of two callbacks and an errback."""
    sent: list[bytes] = []

    def arrive() -> None:
        arrived: Deferred[bytes] = Deferred()
        arrived.addCallback(compute)
        arrived.addCallbacks(sent.append, loop.call_exception_handler)
        arrived.callback(MESSAGE)
        if len(sent) % REPLIES:
            loop.call_soon(arrive)
        else:
            loop.stop()

    def replies() -> None:
        loop.call_soon(arrive)
        loop.run_forever()

    benchmark(replies)
    assert sent[-1] == MESSAGE


def test_future(benchmark: BenchmarkFixture, loop: asyncio.AbstractEventLoop) -> None:
    """The same through a Future with a done-callback."""
    sent: list[bytes] = []

    def send(future: "asyncio.Future[bytes]") -> None:
        sent.append(compute(future.result()))
        if len(sent) % REPLIES:
            arrive()
        else:
            loop.stop()

    def arrive() -> None:
        arrived: asyncio.Future[bytes] = loop.create_future()
        arrived.add_done_callback(send)
        arrived.set_result(MESSAGE)

    def replies() -> None:
        arrive()
        loop.run_forever()

    benchmark(replies)
    assert sent[-1] == MESSAGE


def test_coroutine(benchmark: BenchmarkFixture, loop: asyncio.AbstractEventLoop) -> None:
    """The same in a coroutine that awaits a Future for each message."""
    sent: list[bytes] = []

    async def converse() -> None:
        for _ in range(REPLIES):
            arrived: asyncio.Future[bytes] = loop.create_future()
            loop.call_soon(arrived.set_result, MESSAGE)
            sent.append(compute(await arrived))

    benchmark(lambda: loop.run_until_complete(converse()))
    assert sent[-1] == MESSAGE
