"""Scenario files: what they mean, and what they say when they are wrong."""

from pathlib import Path

import pytest

from harness.scenario import Point, ScenarioError, load_scenario, parse_duration, points, scenario_files

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
    assert points(scenario) == [
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
        assert points(load_scenario(name))


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
        (RIGHT.replace("[load]", '[load]\ntransport = ["tcp", "ipx"]'), ["load.transport", "'unix'", "'ipx'"]),
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
    scenario = load_scenario(write(tmp_path, RIGHT), {"connections": ["5"], "rounds": 2, "cpu_work": ["5us"]})
    assert scenario.load.connections == (5,)
    assert scenario.load.message_size == (1000, 1024)
    assert scenario.measure.rounds == 2
    assert scenario.measure.duration == 0.25
    assert points(scenario)[0].cpu_work_us == 5


def test_a_wrong_override_says_that_it_came_from_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"command line: load\.connections"):
        load_scenario(write(tmp_path, RIGHT), {"connections": ["none"]})


@pytest.mark.parametrize(
    ("load", "words"),
    [
        ("rate = 100", "a closed loop has no rate"),
        ('arrivals = "poisson"', "need either a rate in requests per second or a rate_percent"),
        ('arrivals = "poison"\nrate = 1', "'closed', 'constant', 'poisson' or 'bursts'"),
        ('arrivals = "poisson"\nrate = 100\nthink_time = "1 ms"', "think_time belongs to a closed loop"),
        ('arrivals = "bursts"\nrate = 100', "go together"),
        ('arrivals = "constant"\nrate = 10000000000', "less than or equal to"),
        ("slow_connections = 5", "slow_connections and slow_rate"),
        ("half_close = true", "half_close belongs to churn"),
        ('arrivals = "constant"\nrate = -5', "greater than or equal to"),
    ],
)
def test_loads_that_contradict_themselves_are_refused(tmp_path: Path, load: str, words: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        load_scenario(write(tmp_path, RIGHT.replace("[load]", f"[load]\n{load}")))
    assert words in str(refused.value)
    assert "load" in str(refused.value)


def test_an_open_loop_has_rates_and_conditions_have_times(tmp_path: Path) -> None:
    text = RIGHT.replace("[load]", '[conditions]\nreply_delay = "2 ms"\n[load]\narrivals = "poisson"\nrate = [10, 20]')
    found = points(load_scenario(write(tmp_path, text)))
    assert {point.rate for point in found} == {10, 20}
    assert {point.reply_delay_us for point in found} == {2000}
    assert found[0].to_json() == {
        "connections": 1,
        "idle_connections": 0,
        "message_size": 1000,
        "pipeline_depth": 1,
        "rate": 10,
        "reply_delay_us": 2000,
    }


def test_points_name_their_transport_where_it_is_not_tcp(tmp_path: Path) -> None:
    plain, local = points(
        load_scenario(write(tmp_path, RIGHT.replace("[1, 10]", "5").replace('["1KB", "1KiB"]', '"1KB"')), {})
    ) + points(load_scenario(write(tmp_path, RIGHT), {"connections": "5", "message_size": "1KB", "transport": "unix"}))
    assert "transport" not in plain.to_json()
    assert local.to_json() == {**plain.to_json(), "transport": "unix"}


def test_durations_have_units() -> None:
    assert [parse_duration(text) for text in ("1 s", "1.5s", "20ms", "7 us", "2 min")] == pytest.approx(
        [1, 1.5, 0.02, 7e-6, 120]
    )
