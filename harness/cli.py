"""The command line: its commands are in `harness.commands`; nothing is computed there or here.

Imports of libraries stand inside the commands, so that `muxbench --help` answers at once.
"""

import click

from harness.commands.build import build
from harness.commands.calibrate import calibrate
from harness.commands.capacity import capacity
from harness.commands.check import check
from harness.commands.compare import compare
from harness.commands.doctor import doctor
from harness.commands.duel import duel
from harness.commands.history import history
from harness.commands.list_backends import list_backends
from harness.commands.new import new
from harness.commands.report import report
from harness.commands.run import run


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="muxbench", prog_name="muxbench")
def main() -> None:
    """Measure I/O models: interchangeable server backends, identical scenarios, one honest harness.

    Start with: muxbench run quick
    """


for _command in (run, duel, capacity, compare, history, report, list_backends, new, check, build, doctor, calibrate):
    main.add_command(_command)
