"""Late replies are not late."""

from tests.bad_backends.base import Threads


class Bad(Threads):
    def receive(self, session, data):
        reply = session.receive(data)
        session.due = [(due - 0.02, number, text) for due, number, text in session.due]
        session.wake_at = session.due[0][0] if session.due else None
        return reply


TRAITS = {"name": "replies-early", "family": "blocking", "summary": "has no patience for wake_at"}


def serve(server):
    Bad(server).serve()
