"""Scenario files: what they mean, and what they say when they are wrong."""

from pathlib import Path

import pytest

from harness.scenario import Point, ScenarioError, load_scenario, overridden, parse_duration, points, scenario_files

RIGHT = """
summary = "Something."
exchange = "echo"
[load]
connections = [1, 10]
message_size = ["1KB", "1KiB"]
[measure]
duration = "250 ms"
"""


def write(folder: Path, text: str) -> str:
    file = folder / "mine.toml"
    file.write_text(text)
    return str(file)


def test_lists_are_axes_and_points_are_all_their_combinations(tmp_path: Path) -> None:
    scenario = load_scenario(write(tmp_path, RIGHT))
    assert points(scenario.load) == [
        Point(1, 0, 1000, 1),
        Point(1, 0, 1024, 1),
        Point(10, 0, 1000, 1),
        Point(10, 0, 1024, 1),
    ]
    assert scenario.name == "mine"
    assert scenario.measure.duration == 0.25


def test_every_scenario_of_the_catalogue_can_be_read() -> None:
    assert {"quick", "echo", "idle-ladder"} <= set(scenario_files())
    for name in scenario_files():
        assert points(load_scenario(name).load)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (RIGHT.replace("connections", "conections"), ["mine.toml", "load.conections", "did you mean connections"]),
        (RIGHT.replace("[measure]", "[mesure]"), ["unknown key mesure", "did you mean measure"]),
        (RIGHT.replace('"250 ms"', '"250"'), ["measure.duration", "unit", "'250'"]),
        (RIGHT.replace('"250 ms"', '"250 parsecs"'), ["measure.duration", "ms"]),
        (RIGHT.replace('"250 ms"', '"0 ms"'), ["measure.duration", "0.01"]),
        (RIGHT.replace("[1, 10]", "[0]"), ["load.connections", "greater than or equal to 1", "0"]),
        (RIGHT.replace("[1, 10]", "[]"), ["load.connections", "at least 1 item"]),
        (RIGHT.replace("[1, 10]", '"many"'), ["load.connections", "'many'"]),
        (RIGHT.replace('"1KB"', '"1 parsec"'), ["load.message_size"]),
        (RIGHT.replace('exchange = "echo"', ""), ["exchange", "missing"]),
        (RIGHT + "[", ["mine.toml", "not TOML"]),
    ],
)
def test_a_wrong_file_is_refused_with_one_line_that_names_file_and_key(
    tmp_path: Path, wrong: str, words: list[str]
) -> None:
    with pytest.raises(ScenarioError) as refused:
        load_scenario(write(tmp_path, wrong))
    for word in words:
        assert word in str(refused.value)
    assert "\n" not in str(refused.value)


def test_an_unknown_scenario_is_answered_with_the_nearest_names() -> None:
    with pytest.raises(ScenarioError, match="did you mean quick"):
        load_scenario("quik")


def test_the_command_line_overrides_the_file_and_keeps_the_rest(tmp_path: Path) -> None:
    scenario = load_scenario(write(tmp_path, RIGHT))
    changed = overridden(scenario, {"connections": ["5"]}, {"rounds": 2})
    assert changed.load.connections == (5,)
    assert changed.load.message_size == (1000, 1024)
    assert changed.measure.rounds == 2
    assert changed.measure.duration == 0.25


def test_a_wrong_override_says_that_it_came_from_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"command line: load\.connections|command line: connections"):
        overridden(load_scenario(write(tmp_path, RIGHT)), {"connections": ["none"]}, {})


def test_durations_have_units() -> None:
    assert [parse_duration(text) for text in ("1 s", "1.5s", "20ms", "7 us", "2 min")] == pytest.approx(
        [1, 1.5, 0.02, 7e-6, 120]
    )
