"""The doctor looks and changes nothing."""

import subprocess
import sys

from harness import doctor


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
    for subject in ("CPUs", "open files", "other load"):
        assert f"{subject}: " in done.stdout
