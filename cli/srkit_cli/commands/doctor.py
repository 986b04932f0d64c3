"""srkit doctor"""

from __future__ import annotations

from dataclasses import asdict

from srkit.errors import Exit
from srkit_cli.console import Console
from srkit_cli.options import Debug, Json


def doctor(json: Json = False, debug: Debug = False) -> int:
    """Show versions, devices and their precision, memory, disk, and where weights and data are looked for."""
    from srkit.tasks.doctor import run

    report = run()
    console = Console()
    if json:
        console.json(asdict(report))
        return Exit.DONE
    for label, value in report.lines():
        console.line(f"{label:<24}{value}")
    for problem in report.problems:
        console.warn(problem)
    return Exit.DONE
