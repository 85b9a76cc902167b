"""`muxbench doctor`: what makes this machine noisy or limits a run."""

from __future__ import annotations

import click

from harness.commands.common import open_console


@click.command()
def doctor() -> None:
    """Say what makes this machine noisy or limits a run, what it costs, and what would help. Changes nothing."""
    from rich.padding import Padding
    from rich.text import Text

    from harness.doctor import examine

    console = open_console()
    findings = examine()
    for each in findings:
        mark, style = ("fine", "green") if each.fine else ("look", "yellow")
        console.print(Text(f"{mark}  ", style=style).append(f"{each.subject}: {each.state}", style="default"))
        if not each.fine or not each.remedy:
            for words in filter(None, (each.cost, each.remedy and f"to change it: {each.remedy}")):
                console.print(Padding(Text(words, style="dim"), (0, 0, 0, 6), expand=False))
    bad = sum(not each.fine for each in findings)
    console.print(f"\n{bad} of {len(findings)} could be better." if bad else "\nNothing to complain about.")
