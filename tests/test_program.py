"""External servers as TOML files: what is read, and what is refused in one line with file and key."""

from pathlib import Path

import pytest

from backends.contract import BackendError
from backends.find import find_backends, read_backend
from backends.program import Program
from harness.plan import Candidate, PlanError, choose_backends, make_plan
from harness.scenario import Load, Scenario

MINE = 'name = "mine"\nsummary = "s"\ncommand = "./server --port {port}"\n'


def write(folder: Path, text: str) -> Path:
    file = folder / "mine.toml"
    file.write_text(text)
    return file


def test_the_least_that_describes_a_server_is_three_lines(tmp_path: Path) -> None:
    backend = read_backend(write(tmp_path, MINE))
    assert backend.traits.name == "mine"
    assert backend.traits.family == "external"
    assert backend.program == Program(command=("./server", "--port", "{port}"))
    assert backend.program.exchanges == ("echo",)


def test_a_build_is_one_line_or_several(tmp_path: Path) -> None:
    one = read_backend(write(tmp_path, MINE + 'build = "make"\nsources = ["a.c"]')).program
    several = read_backend(write(tmp_path, MINE + 'build = ["make a", "make b"]\nsources = ["a.c"]')).program
    assert one is not None
    assert several is not None
    assert one.build == ("make",)
    assert several.build == ("make a", "make b")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No such file"),
        ("name = ", "Invalid value"),
        (MINE + "comand = 3", "unknown key 'comand'; known are name, summary"),
        (MINE + "[server]", "unknown key 'server'"),
        (MINE.replace('name = "mine"\n', ""), 'name must be a text, such as name = "mine"'),
        (MINE.replace('"s"', "3"), "summary must be a text"),
        (MINE.replace('"./server --port {port}"', '""'), "command must be a text"),
        (MINE.replace("{port}", "80"), "command must tell the program its port"),
        (MINE.replace("--port", "--port '"), "command cannot be cut into words"),
        (MINE + "exchanges = 3", "exchanges must be a text or a list of texts"),
        (MINE + "version = []", "version must be a text"),
        (MINE + 'build = "make"', "build and sources go together"),
        (MINE + 'sources = ["a.c"]', "build and sources go together"),
        (MINE + 'requires = ["cc"]', "requires must say how to get each thing"),
        (MINE + "requires = { cc = 3 }", "requires must say how to get each thing"),
        (MINE + "max_connections = 0", "max_connections"),
    ],
)
def test_a_file_that_describes_no_server_is_refused_with_file_and_key(
    tmp_path: Path, text: str | None, words: str
) -> None:
    file = tmp_path / "mine.toml"
    if text is not None:
        write(tmp_path, text)
    with pytest.raises(BackendError) as refused:
        read_backend(file)
    assert str(refused.value).startswith(f"{file}: ")
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_built_in_external_servers_stand_beside_the_others() -> None:
    found = find_backends()
    assert {"c-epoll", "netty", "netty-epoll", "node", "go"} <= {
        name for name, backend in found.items() if backend.program is not None
    }
    assert found["epoll"].program is None


def test_a_file_of_anyone_can_be_chosen_but_not_under_a_name_that_is_taken(tmp_path: Path) -> None:
    assert list(choose_backends(["epoll", str(write(tmp_path, MINE))])) == ["epoll", "mine"]
    taken = write(tmp_path, MINE.replace("mine", "c-epoll"))
    with pytest.raises(PlanError, match="both called 'c-epoll'"):
        choose_backends(["c-epoll", str(taken)])


@pytest.mark.parametrize(
    ("exchange", "load", "words"),
    [
        ("echo", {}, ""),
        ("rpc", {}, "mine serves echo only, not rpc"),
        ("echo", {"reply_delay": "1ms"}, "neither delay its replies nor work"),
        ("echo", {"cpu_work": "1us"}, "neither delay its replies nor work"),
    ],
)
def test_what_an_external_server_cannot_do_is_refused_with_the_reason(
    tmp_path: Path, exchange: str, load: dict[str, str], words: str
) -> None:
    candidate = Candidate(read_backend(write(tmp_path, MINE)), {}, "")
    scenario = Scenario(name="s", summary="s", exchange=exchange, **scenario_tables(load))  # type: ignore[arg-type]
    (cells,) = make_plan(scenario, [candidate], 100_000).cells.values()
    assert bool(cells[0].refusal) == bool(words)
    assert words in cells[0].refusal


def scenario_tables(conditions: dict[str, str]) -> dict[str, object]:
    return {"load": Load(connections=[1]), "conditions": conditions}  # type: ignore[arg-type]
