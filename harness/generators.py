"""One or several generator processes that together are one load."""

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Self, TypeVar

from harness.loadgen.merge import merge, merge_histograms, share_out
from harness.loadgen.spec import ConnectResult, LoadSpec, TrialResult
from harness.process import GeneratorProcess

Said = TypeVar("Said")


class Generators:
    """Generator processes that run."""

    def __init__(self, load: LoadSpec, engine: str, log: Path, processes: int, *, cpus: Collection[int] = ()) -> None:
        """Start them; they connect when told to.

        Args:
            load: What all of them do together.
            engine: "native" or "portable".
            log: Where their output goes.
            processes: How many there are, but never more than connections.
            cpus: CPUs they may run on; empty means all.
        """
        with ExitStack() as started:
            self._each = [
                started.enter_context(GeneratorProcess(share, engine, log, cpus=cpus))
                for share in share_out(load, min(processes, load.connections))
            ]
            # A thread for each, because each blocks until its process has answered.
            self._threads = started.enter_context(ThreadPoolExecutor(len(self._each)))
            self._started = started.pop_all()

    @property
    def pids(self) -> list[int]:
        """Process numbers."""
        return [each.pid for each in self._each]

    def connect(self) -> ConnectResult:
        """Open all connections and verify one reply on each.

        Raises:
            ChildFailedError: One died or hung.
        """
        results = self._at_once(GeneratorProcess.connect)
        errors: dict[str, int] = {}
        for result in results:
            for kind, count in result.errors.items():
                errors[kind] = errors.get(kind, 0) + count
        return ConnectResult(
            connected=sum(result.connected for result in results),
            idle=sum(result.idle for result in results),
            errors=errors,
            fault=next((result.fault for result in results if result.fault), ""),
            slow=sum(result.slow for result in results),
            connection_time=merge_histograms(result.connection_time for result in results),
        )

    def trial(self, duration_s: float) -> TrialResult:
        """Load the server for `duration_s` seconds and return what all saw together.

        Raises:
            ChildFailedError: One died or hung.
        """
        return merge(self._at_once(lambda each: each.trial(duration_s)))

    def stop(self, timeout_s: float) -> None:
        """End the processes; each that has not ended `timeout_s` seconds after it was told is killed."""
        for each in self._each:
            each.stop(timeout_s=timeout_s)

    def _at_once(self, ask: Callable[[GeneratorProcess], Said]) -> list[Said]:
        return list(self._threads.map(ask, self._each))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._started.close()
