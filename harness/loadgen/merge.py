"""Several generator processes as one: their load shared out, their results merged exactly. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.loadgen.histogram import decode
from harness.loadgen.spec import LoadSpec, TrialResult


def share_out(load: LoadSpec, processes: int) -> list[LoadSpec]:
    """Return the load of each of so many generators, which together are this load.

    Connections are dealt out, and so are the requests of the schedule, one to each generator in turn: whatever the
    arrival process is, together they are due when they would be due in one generator. No two share sequence numbers.

    Raises:
        ValueError: There are more processes than connections, or none.
    """
    if not 1 <= processes <= load.connections:
        raise ValueError(f"{processes} generator processes for {load.connections} connections: give each at least one")
    shares = []
    first = load.first_connection
    for part in range(processes):
        connections, idle, slow = (
            count // processes + (part < count % processes)
            for count in (load.connections, load.idle_connections, load.slow_connections)
        )
        shares.append(
            replace(
                load,
                connections=connections,
                idle_connections=idle,
                slow_connections=slow,
                slow_bytes_per_s=load.slow_bytes_per_s if slow else 0,
                connections_per_s=load.connections_per_s / processes,
                first_connection=first,
                part=part,
                parts=processes,
            )
        )
        first += connections + idle + slow
    return shares


def merge(results: Sequence[TrialResult]) -> TrialResult:
    """Return what generators that measured the same time saw together.

    Counts, histograms and CPU times are added, so `cpu_s` may pass the duration: `processes` says how many CPUs there
    were. The duration is the longest of theirs. Words are the first there are.

    Raises:
        ValueError: There is none, or they differ in engine, kind of loop or number of slices.
    """
    if not results:
        raise ValueError("there is no result to merge")
    first = results[0]
    for other in results:
        if (other.engine, other.loop, len(other.slices)) != (first.engine, first.loop, len(first.slices)):
            raise ValueError("results of different engines, loops or slices cannot be merged")
    errors: dict[str, int] = {}
    for result in results:
        for kind, count in result.errors.items():
            errors[kind] = errors.get(kind, 0) + count
    return TrialResult(
        engine=first.engine,
        loop=first.loop,
        duration_s=max(result.duration_s for result in results),
        sent=sum(result.sent for result in results),
        replied=sum(result.replied for result in results),
        failed=sum(result.failed for result in results),
        in_flight=sum(result.in_flight for result in results),
        late=sum(result.late for result in results),
        errors=errors,
        latency=merge_histograms(result.latency for result in results),
        slices=[sum(counts) for counts in zip(*(result.slices for result in results), strict=True)],
        cpu_s=sum(result.cpu_s for result in results),
        fault=next((result.fault for result in results if result.fault), ""),
        due=sum(result.due for result in results),
        waiting=sum(result.waiting for result in results),
        slip=merge_histograms(result.slip for result in results),
        spun_s=sum(result.spun_s for result in results),
        stopped=next((result.stopped for result in results if result.stopped), ""),
        opened=sum(result.opened for result in results),
        connection_time=merge_histograms(result.connection_time for result in results),
        slow_replied=sum(result.slow_replied for result in results),
        processes=sum(result.processes for result in results),
        tls=next((result.tls for result in results if result.tls), ""),
    )


def merge_histograms(texts: Iterable[str]) -> str:
    """Return the sum of histograms as text; empty texts have no samples, and their sum is empty."""
    known = [text for text in texts if text]
    if len(known) <= 1:
        return "".join(known)
    total = decode(known[0])
    for text in known[1:]:
        total.add(decode(text))
    encoded: bytes = total.encode()
    return encoded.decode("ascii")
