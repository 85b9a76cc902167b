"""The exchange broadcast without sockets: who receives what, in which order, and what becomes of whom that does not."""

import itertools
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios.conditions import Conditions, under
from scenarios.exchanges.broadcast import (
    LENGTH,
    MOST_UNREAD,
    BroadcastSession,
    Hub,
    MessageError,
    TooSlowError,
    conversation,
)
from scenarios.session import load_exchange


def message(text: bytes) -> bytes:
    return LENGTH.pack(len(text)) + text


class Peer:
    """A session that has joined, and how often it asked to be woken."""

    def __init__(self, hub: Hub) -> None:
        self.session = BroadcastSession(hub)
        self.notified = 0
        self.session.opened(self.notify)
        assert self.session.receive(message(b"hello")) == message(b"hello")

    def notify(self) -> None:
        self.notified += 1

    def publish(self, text: bytes) -> None:
        assert self.session.receive(message(text)) == b""


@pytest.fixture
def hub() -> Hub:
    return Hub()


def test_what_one_publishes_all_others_receive_when_they_are_woken(hub: Hub) -> None:
    publisher, one, other = Peer(hub), Peer(hub), Peer(hub)
    publisher.publish(b"news")
    assert (publisher.notified, one.notified, other.notified) == (0, 1, 1)
    assert (publisher.session.wake(), one.session.wake(), other.session.wake()) == (b"", *[message(b"news")] * 2)
    assert one.session.wake() == b""


def test_a_session_asks_once_to_be_woken_for_all_that_waits(hub: Hub) -> None:
    publisher, subscriber = Peer(hub), Peer(hub)
    for text in (b"1", b"2", b"3"):
        publisher.publish(text)
    assert subscriber.notified == 1
    assert subscriber.session.wake() == message(b"1") + message(b"2") + message(b"3")
    publisher.publish(b"4")
    assert subscriber.notified == 2


@given(st.lists(st.binary(min_size=1, max_size=30), min_size=2, max_size=6), st.lists(st.integers(0, 300)))
def test_messages_are_passed_on_whole_however_they_are_split(texts: list[bytes], cuts: list[int]) -> None:
    hub = Hub()
    subscriber = Peer(hub)
    publisher = BroadcastSession(hub)
    data = b"".join(map(message, texts))
    places = sorted({0, len(data), *(cut % len(data) for cut in cuts)})
    replies, received = b"", b""
    for start, end in itertools.pairwise(places):
        replies += publisher.receive(data[start:end])
        received += subscriber.session.wake()
        assert received == data[len(message(texts[0])) :][: len(received)]
        at = 0
        while at < len(received):  # no message is passed on before it is whole
            at += LENGTH.size + LENGTH.unpack_from(received, at)[0]
        assert at == len(received)
    assert (replies, received) == (message(texts[0]), b"".join(map(message, texts[1:])))


def test_joining_is_answered_once_and_told_to_nobody(hub: Hub) -> None:
    first = Peer(hub)
    second = Peer(hub)
    assert (first.session.wake(), first.notified) == (b"", 0)
    second.publish(b"now")
    assert first.session.wake() == message(b"now")


def test_who_has_not_joined_receives_nothing(hub: Hub) -> None:
    publisher, silent = Peer(hub), BroadcastSession(hub)
    silent.receive(message(b"half a message")[:-1])
    publisher.publish(b"news")
    assert silent.wake() == b""
    assert len(hub) == 1


def test_who_finishes_receives_what_came_until_then_and_leaves(hub: Hub) -> None:
    publisher, subscriber = Peer(hub), Peer(hub)
    publisher.publish(b"last")
    assert subscriber.session.eof() == message(b"last")
    publisher.publish(b"too late")
    assert (subscriber.session.wake(), subscriber.session.wake_at) == (b"", None)
    assert len(hub) == 1


def test_who_breaks_is_forgotten(hub: Hub) -> None:
    publisher, subscriber = Peer(hub), Peer(hub)
    subscriber.session.closed()
    assert len(hub) == 1
    publisher.publish(b"news")
    assert subscriber.notified == 0
    subscriber.session.closed()  # having left already is fine


def test_who_does_not_read_is_dropped_and_keeps_nothing(hub: Hub) -> None:
    publisher, stubborn, other = Peer(hub), Peer(hub), Peer(hub)
    text = bytes(MOST_UNREAD // 4)
    for _ in range(8):
        publisher.publish(text)
        assert other.session.wake() == message(text)
    assert len(hub) == 2
    with pytest.raises(TooSlowError, match="unread"):
        stubborn.session.wake()
    publisher.publish(b"on")
    assert other.session.wake() == message(b"on")


def test_one_message_may_be_longer_than_what_may_wait(hub: Hub) -> None:
    publisher, subscriber = Peer(hub), Peer(hub)
    for _ in range(3):
        publisher.publish(bytes(2 * MOST_UNREAD))
        assert len(subscriber.session.wake()) == 2 * MOST_UNREAD + LENGTH.size


@pytest.mark.parametrize("length", [0, 2**32 - 1])
def test_a_length_out_of_range_ends_its_connection(hub: Hub, length: int) -> None:
    with pytest.raises(MessageError, match=f"{length} bytes"):
        Peer(hub).session.receive(LENGTH.pack(length))


def test_several_threads_publish_in_one_order_for_all(hub: Hub) -> None:
    publishers, subscribers = [Peer(hub) for _ in range(4)], [Peer(hub) for _ in range(2)]

    def publish(peer: Peer, name: bytes) -> None:
        for number in range(200):
            peer.publish(b"%s %d" % (name, number))

    threads = [threading.Thread(target=publish, args=(peer, b"%d" % n)) for n, peer in enumerate(publishers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one, other = (subscriber.session.wake() for subscriber in subscribers)
    assert one == other
    assert len(one) == sum(len(message(b"%d %d" % (n, number))) for n in range(4) for number in range(200))


def test_a_subscriber_may_be_woken_within_the_notification(hub: Hub) -> None:
    publisher, eager = Peer(hub), BroadcastSession(hub)
    received = []
    eager.opened(lambda: received.append(eager.wake()))
    eager.receive(message(b"hello"))
    publisher.publish(b"news")
    assert received == [message(b"news")]


def test_work_is_done_for_each_delivery_and_the_session_within_is_told_everything() -> None:
    hub = Hub()
    make = under(Conditions(work_spins=1, reply_size=len(message(b"news"))), lambda: BroadcastSession(hub))
    notified = []
    subscriber, publisher = make(), Peer(hub)
    subscriber.opened(lambda: notified.append(True))
    subscriber.receive(message(b"hello"))
    publisher.publish(b"news")
    assert notified == [True]
    assert subscriber.wake() == message(b"news")
    subscriber.closed()
    assert len(hub) == 1


@pytest.mark.parametrize("size", [1, 8, 64, 100_000])
def test_the_generators_half_is_a_message_that_is_received_as_it_is(hub: Hub, size: int) -> None:
    exchange, talk = load_exchange("broadcast"), conversation(size)
    assert exchange.fan_out
    assert talk.request == talk.reply
    publisher, subscriber = Peer(hub), Peer(hub)
    assert publisher.session.receive(talk.request.stamped(7)) == b""
    assert subscriber.session.wake() == talk.reply.stamped(7)
    assert len(talk.request.data) == LENGTH.size + size
