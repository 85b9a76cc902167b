"""The doctor looks and changes nothing."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from harness import doctor
from harness.doctor import Busy


def test_every_complaint_says_what_it_costs_and_what_would_help() -> None:
    findings = doctor.examine()
    assert {finding.subject for finding in findings} >= {"CPUs", "other load", "open files"}
    for finding in findings:
        assert finding.state
        if not finding.fine:
            assert finding.cost
            assert finding.remedy


def test_the_command_prints_each_finding() -> None:
    command = [sys.executable, "-c", "from harness.cli import main; main()", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    for subject in ("CPUs", "open files", "other load", "interruptions", "speed"):
        assert f"{subject}: " in done.stdout


def watched(slices: Sequence[int], gaps_ns: Sequence[int] = ()) -> dict[str, doctor.Finding]:
    steady = Busy([], [900] + 49 * [1000])
    return {found.subject: found for found in doctor.judge_busy([steady, Busy(gaps_ns, slices), steady])}


def test_a_cpu_that_is_always_there_and_equally_fast_is_fine() -> None:
    found = watched([1] + 49 * [1000])
    assert [each.fine for each in found.values()] == [True, True]
    assert found["interruptions"].state == "0.00% of a busy CPU's time, at most 0.0 ms at once"
    assert found["speed"].state == "in 20 ms a busy CPU does 100% to 100% of its usual work"


def test_the_worst_cpu_is_the_one_that_is_told_of() -> None:
    found = watched(10 * [500] + 30 * [1000] + 10 * [1500], gaps_ns=[8_000_000, 2_000_000])
    assert [each.fine for each in found.values()] == [False, False]
    assert found["interruptions"].state == "1.00% of a busy CPU's time, at most 8.0 ms at once"
    assert found["speed"].state == "in 20 ms a busy CPU does 50% to 150% of its usual work"


def test_a_program_that_is_stopped_notices() -> None:
    stopped_s = 0.3
    code = (
        "from harness import doctor, machine; doctor.WATCHED_S = 2.0; print(flush=True); "
        "seen = doctor.watch_busy(min(machine.usable_cpus())); print(max(seen.gaps_ns, default=0), len(seen.slices))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.1)
        child.send_signal(signal.SIGSTOP)
        time.sleep(stopped_s)
        child.send_signal(signal.SIGCONT)
        longest_ns, slices = map(int, child.stdout.read().split())
    assert longest_ns > 0.9e9 * stopped_s
    assert slices == 100
