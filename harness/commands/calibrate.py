"""`muxbench calibrate`: servers of known behaviour, expected beside measured."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.commands.common import generator_option, open_console, say_written


@click.command()
@click.option(
    "--duration", default=10, show_default=True, help="Whole seconds to measure each case for; p99.9 needs 10."
)
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder of the chart. Default: none.")
@generator_option
def calibrate(duration: int, output: Path | None, generator: str | None) -> None:
    """Measure servers whose behaviour is known, and show whether this tool tells the truth on this machine.

    The exit status is 1 if a value is off.
    """
    from harness import calibrate as calibration
    from harness import machine
    from harness.loadgen.engines import default_engine
    from harness.process import ChildFailedError
    from harness.report import calibration as shown

    console = open_console()
    try:
        measured = calibration.calibrate(
            generator or default_engine(),
            duration,
            cpus=machine.split_cpus(),
            observe=lambda case: console.print(f"measuring: {case.name}", markup=False),
        )
        passed = shown.render(measured, console)
        if output is not None:
            say_written(shown.draw(measured, output), console)
    except calibration.CalibrationError as fault:
        raise click.UsageError(str(fault)) from None
    except ChildFailedError as fault:
        raise click.ClickException(str(fault)) from None
    except OSError as fault:
        raise click.ClickException(f"{fault.filename}: {fault.strerror}") from None
    sys.exit(0 if passed else 1)
