"""`muxbench build`: build the external servers that have to be built."""

from __future__ import annotations

import click

from harness.commands.common import open_console


@click.command()
@click.argument("names", metavar="[NAME...]", nargs=-1)
def build(names: tuple[str, ...]) -> None:
    """Build external servers into the cache folder; NAME is a name or a .toml file. Default: all that can be built.

    The exit status is 1 if one could not be built, or lacks what it needs although it was named.
    """
    from harness.plan import PlanError, choose_backends
    from harness.programs import ProgramError, build_program, built_folder, missing

    console = open_console()
    try:
        chosen = choose_backends(names)
    except PlanError as fault:
        raise click.UsageError(str(fault)) from None
    failed = []
    for name, backend in chosen.items():
        program = backend.program
        if program is None or not program.build:
            if names:
                console.print(f"{name}: nothing to build", markup=False)
            continue
        if not names and (reason := missing(program)):
            console.print(f"left out: {name}: {reason}", style="yellow", markup=False)
            continue
        try:
            fresh = built_folder(backend, program).is_dir()
            folder = build_program(backend, program)
        except ProgramError as fault:
            failed.append(name)
            click.echo(str(fault), err=True)
        else:
            console.print(f"{name}: {'is built' if fresh else 'built'} in {folder}", markup=False, soft_wrap=True)
    if failed:
        raise click.ClickException(f"not built: {', '.join(failed)}")
