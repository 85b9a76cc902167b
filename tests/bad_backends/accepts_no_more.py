"""After EMFILE the listener is never looked at again."""

import time

from tests.bad_backends.base import Threads


class Bad(Threads):
    def out_of_descriptors(self):
        time.sleep(3600)


TRAITS = {
    "name": "accepts-no-more",
    "family": "blocking",
    "summary": "gives up accepting when it runs out of descriptors",
}


def serve(server):
    Bad(server).serve()
