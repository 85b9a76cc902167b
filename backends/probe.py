"""The probe's process: which backends can run under this interpreter, and if not, why.

It is a process of its own because it imports what the backends require, and a framework may crash, hang or print on
import. Names come as JSON on standard input; a line of JSON goes out for each, on the descriptor that was standard
output (which is redirected, so that a print on import cannot spoil a line).
"""

import functools
import importlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Sequence

from backends.serve import load_backend

# It reads the metadata of all that is installed, which takes a good part of a second.
providers_of_modules = functools.cache(importlib.metadata.packages_distributions)


def versions(modules: Sequence[str]) -> dict[str, str]:
    """Return the versions of the distributions that these modules come from, by distribution name."""
    providers = providers_of_modules() if modules else {}
    names = [name for module in modules for name in providers.get(module.split(".")[0], ())]
    return {name: importlib.metadata.version(name) for name in names}


def why_not(file: str, requires: Sequence[str], platforms: Sequence[str]) -> str:
    """Return the reason why the backend in this file cannot run here, or an empty text if it can."""
    if platforms and sys.platform not in platforms:
        return f"runs on {', '.join(platforms)} only, this is {sys.platform}"
    try:
        for module in requires:
            importlib.import_module(module)
        load_backend(file)
    except ModuleNotFoundError as fault:
        return f"the module {fault.name} is not installed"
    except Exception as fault:
        return f"cannot be imported: {type(fault).__name__}: {' '.join(str(fault).split())}"
    return ""


def main() -> None:
    """Answer for each name on standard input: {name: {"file", "requires", "platforms"}}."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        interpreter = f"{platform.python_implementation()} {platform.python_version()}"
        for name, entry in json.load(sys.stdin).items():
            reason = why_not(entry["file"], entry["requires"], entry["platforms"])
            packages = {} if reason else versions(entry["requires"])
            answer = {"name": name, "unavailable": reason, "packages": packages, "interpreter": interpreter}
            print(json.dumps(answer), file=answers, flush=True)
