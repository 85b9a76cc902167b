"""What type checkers see of the reference server."""

def serve(
    listener: int,
    control: int,
    *,
    size: int,
    service_ns: int = 0,
    slow_every: int = 0,
    slow_service_ns: int = 0,
    stall_ns: int = 0,
    stall_period_ns: int = 0,
    rate_rps: float = 0,
) -> None: ...
def main(listener_fd: int, control_fd: int) -> None: ...
