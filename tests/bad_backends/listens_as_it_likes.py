"""It listens once more, with a backlog of its own, as a framework does that is not told which."""

from tests.bad_backends.base import Threads


class Bad(Threads):
    def serve(self):
        self.server.listener.listen(100)
        super().serve()


TRAITS = {"name": "listens-as-it-likes", "family": "blocking", "summary": "takes no notice of the backlog"}


def serve(server):
    Bad(server).serve()
