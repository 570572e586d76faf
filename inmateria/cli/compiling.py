"""`inmateria compile`: every kernel compiled in advance, so that the first run on a machine does not wait for it."""

import asyncio
import os
import sys
import time
from typing import Annotated

import typer

from inmateria.cli.application import FAILED, Json, app, awaited, fail


@app.command("compile")
def compile_kernels(
    workers: Annotated[int, typer.Option(help="Processes; 0 is one for each processor.", min=0)] = 0,
    json: Json = False,
) -> None:
    """Compile every kernel of simulators and readouts now: some minutes, once on a machine."""
    begun = time.perf_counter()
    seconds = awaited(_compile(workers or os.cpu_count() or 1, json))
    whole = time.perf_counter() - begun
    if json:
        from json import dumps

        typer.echo(dumps({"seconds": round(whole, 2), "parts": {name: round(s, 2) for name, s in seconds.items()}}))
    else:
        typer.echo(f"ready in {whole:.0f} s; first runs find everything compiled")


async def _compile(workers: int, quiet: bool) -> dict[str, float]:
    """Do each part of the work in a process of its own; return how long each took, s."""
    from inmateria.cli.kernels import KERNELS

    free, seconds = asyncio.Semaphore(workers), dict.fromkeys(KERNELS, 0.0)
    failed: list[str] = []

    async def one(name: str) -> None:
        async with free:
            begun = time.perf_counter()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "inmateria.cli.kernels", name,
                stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            try:
                _, errors = await process.communicate()
            except asyncio.CancelledError:
                if process.returncode is None:
                    process.kill()
                await process.wait()
                raise
            seconds[name] = time.perf_counter() - begun
            if process.returncode:
                last = errors.decode(errors="replace").strip().splitlines()[-1:] or [f"exit code {process.returncode}"]
                failed.append(f"{name}: {last[0]}")
            elif not quiet:
                typer.echo(f"{name}  {seconds[name]:.1f} s")
                sys.stdout.flush()

    async with asyncio.TaskGroup() as tasks:
        for name in KERNELS:
            tasks.create_task(one(name))
    if failed:
        fail("kernels were not compiled: " + "; ".join(failed), FAILED)
    return seconds
