"""Where backends are: name -> file, by folder scan or path. Reads their traits, imports or starts none of them."""

import ast
from dataclasses import dataclass
from pathlib import Path

from backends.contract import FAMILIES, BackendError, Traits
from backends.program import Program, read_program

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Backend:
    """A backend that can be started.

    Attributes:
        traits: What it says of itself.
        file: Its Python file, or the TOML file of an external server.
        program: How it is built and started if it is an external server.
        package: Name and version of the package that brings it; empty if it is built in or a file.
    """

    traits: Traits
    file: Path
    program: Program | None = None
    package: str = ""


def read_backend(file: Path) -> Backend:
    """Return the backend that a Python file defines, without importing it, or a TOML file describes.

    Raises:
        BackendError: The file cannot be read or has no proper TRAITS or keys; the message names the file.
    """
    if file.suffix == ".toml":
        traits, program = read_program(file)
        return Backend(traits, file, program)
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except OSError as fault:
        raise BackendError(f"{file}: {fault.strerror}") from None
    except (SyntaxError, ValueError) as fault:
        raise BackendError(f"{file}: {fault}") from None
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    if "serve" not in defined:
        raise BackendError(f"{file}: there is no function serve(server)")
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            isinstance(name, ast.Name) and name.id == "TRAITS" for name in node.targets
        ):
            try:
                return Backend(Traits.parse(ast.literal_eval(node.value)), file)
            except BackendError as fault:
                raise BackendError(f"{file}: {fault}") from None
            except ValueError:
                raise BackendError(f"{file}: TRAITS must be written out as a literal dictionary") from None
    raise BackendError(f"{file}: there is no dictionary TRAITS")


def find_backends(folder: Path = FOLDER) -> dict[str, Backend]:
    """Return the built-in backends by name, in the order of their families.

    Raises:
        BackendError: A file is not a proper backend, or two have the same name.
    """
    found: dict[str, Backend] = {}
    for family in FAMILIES:
        for file in sorted([*(folder / family).glob("*.py"), *(folder / family).glob("*/backend.toml")]):
            if file.suffix == ".py" and not file.read_bytes().count(b"\nTRAITS = {"):
                continue  # what several backends share, such as the reactor
            backend = read_backend(file)
            known = found.setdefault(backend.traits.name, backend)
            if known is not backend:
                raise BackendError(f"{file}: the name {backend.traits.name!r} is taken by {known.file}")
    return found
