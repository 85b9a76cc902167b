"""Backends of other packages, announced as entry points of the group `muxbench.backends`.

    [project.entry-points."muxbench.backends"]
    mine = "my_package.mine"

The value is the module that holds TRAITS and serve(server); its name there is the one in TRAITS. Nothing of it is
imported here, so a plugin cannot harm whoever only looks for it.
"""

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from backends.contract import BackendError
from backends.find import Backend, read_backend

GROUP = "muxbench.backends"


def find_plugins(built_in: Mapping[str, Backend]) -> tuple[dict[str, Backend], list[str]]:
    """Return the backends of installed plugins by name, and one line for each plugin that is faulty.

    Args:
        built_in: Backends whose names are taken.
    """
    found: dict[str, Backend] = {}
    problems = []
    for entry in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        package = f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "an unknown package"
        try:
            backend = replace(read_backend(module_file(entry.module)), package=package)
            name = backend.traits.name
            if name != entry.name:
                raise BackendError(f"its TRAITS call it {name!r}")
            if (other := built_in.get(name) or found.get(name)) is not None:
                raise BackendError(f"the name is taken by {other.package or 'a built-in backend'}")
            found[name] = backend
        except BackendError as fault:
            problems.append(f"plugin {entry.name} of {package} is left out: {fault}")
    return found, problems


def module_file(module: str) -> Path:
    """Return the file of a module, importing nothing, not even the package it is in.

    Raises:
        BackendError: There is none.
    """
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is not None:
        if not rest and spec.origin:
            return Path(spec.origin)
        for folder in spec.submodule_search_locations or ():
            file = Path(folder, *rest).with_suffix(".py")
            if file.is_file():
                return file
    raise BackendError(f"there is no module {module}")
