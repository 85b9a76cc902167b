"""Which engines there are here, and the making of one by its name."""

import importlib
import importlib.util
from typing import Protocol

from harness.loadgen.spec import ConnectResult, LoadSpec, TrialResult


class Engine(Protocol):
    """What both engines are: made from a `LoadSpec` and a control descriptor, then `connect` once and `trial` often."""

    name: str

    def connect(self) -> ConnectResult:
        """Open every connection and verify each with one request; raises EOFError when the control socket is closed."""
        ...

    def trial(self, duration_s: float) -> TrialResult:
        """Measure for this many seconds and wait for stragglers; raises EOFError when the control socket is closed."""
        ...

    def close(self) -> None:
        """Close every connection."""
        ...


def native_missing() -> str:
    """Return why there is no native engine here, in one line, or an empty text if there is one."""
    return _missing("harness.loadgen.engine", "the native engine")


def tls_missing(engine: str) -> str:
    """Return why the engine of this name cannot speak TLS here, in one line, or an empty text if it can."""
    if engine != "native":
        return ""
    from harness.loadgen.openssl import OpensslError, load_openssl

    try:
        load_openssl()
    except OpensslError as fault:
        return f"the native engine cannot speak TLS here: {fault}"
    return ""


def reference_missing() -> str:
    """Return why there is no reference server here, in one line, or an empty text if there is one."""
    return _missing("harness.loadgen.reference", "the native reference server")


def _missing(module: str, name: str) -> str:
    if importlib.util.find_spec(module) is None:
        return f"{name} was not built: it needs Linux and a C compiler when muxbench is installed"
    try:
        importlib.import_module(module)
    except ImportError as fault:
        return f"{name} does not load: {fault}"
    return ""


def default_engine() -> str:
    """Return "native" where there is one, else "portable"."""
    return "portable" if native_missing() else "native"


def make_engine(name: str, spec: LoadSpec, control_fd: int = -1) -> Engine:
    """Return the engine of this name, "native" or "portable", ready to connect.

    Args:
        name: The engine.
        spec: The load.
        control_fd: A socket whose end of file means: give up at once; -1 if there is none.

    Raises:
        LookupError: There is no such engine here, with the reason.
    """
    if name == "native":
        reason = native_missing()
        if reason:
            raise LookupError(reason)
        from harness.loadgen.engine import NativeEngine

        return NativeEngine(spec, control_fd)
    if name == "portable":
        from harness.loadgen.portable.engine import PortableEngine

        return PortableEngine(spec, control_fd)
    raise LookupError(f"no engine is called {name!r}; there are native and portable")
