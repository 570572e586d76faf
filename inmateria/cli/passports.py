"""`inmateria calibrate` and `inmateria passport`: keep a calibration of a device, and show what is known of it."""

from contextlib import ExitStack
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inmateria.cli.application import Json, app, awaited, complete_substrate, uri_of
from inmateria.cli.progress import ProgressBar

if TYPE_CHECKING:
    from collections.abc import Callable

    from inmateria.devices import Fingerprint, Probe, StrangerRate
    from inmateria.devices.passports import Passport, Passports
    from inmateria.substrate import Substrate, SubstrateInfo

_ALPHA = 0.01

Out = Annotated[Path, typer.Option(help="Folder of the runs, beside which the passports are kept.")]
Database = Annotated[
    str | None,
    typer.Option(
        "--passports",
        help="Database of passports, as a URL of SQLAlchemy; INMATERIA_PASSPORTS or SQLite if not given.",
    ),
]


@app.command()
def calibrate(
    on: Annotated[str, typer.Argument(help="Substrate: a URI, or just its scheme.", autocompletion=complete_substrate)],
    out: Out = Path("runs"),
    passports: Database = None,
    seed: Annotated[int, typer.Option(help="Of the probe; calibrations of one probe can be compared.", min=0)] = 0,
    steps: Annotated[int, typer.Option(help="Steps of the probe.", min=1)] = 40,
    repeats: Annotated[int, typer.Option(help="How often the probe is given and kept.", min=2)] = 10,
    amplitude: Annotated[float, typer.Option(help="Largest drive, as a fraction of the inputs' limits.")] = 0.15,
    step: Annotated[float | None, typer.Option(help="Duration of a step, s; the substrate's own by default.")] = None,
    rest: Annotated[float, typer.Option(help="Seconds at rest after each repeat.")] = 1.0,
    json: Json = False,
) -> None:
    """Apply a fixed probe to a substrate, keep its responses in its passport, and report whether it has drifted."""
    with ExitStack() as exits:
        with ProgressBar(hidden=json) as bar:
            from inmateria.adapters import connect
            from inmateria.devices import Probe
            from inmateria.devices.passports import Passports, passports_url

            try:
                probe = Probe(seed=seed, steps=steps, repeats=repeats, amplitude=amplitude, step=step, rest=rest)
            except ValueError as error:
                raise typer.BadParameter(str(error)) from None
            substrate = connect(uri_of(on))
            database = exits.enter_context(Passports(passports or passports_url(out)))  # before anything is sent
            info, fingerprint = awaited(_calibrated(substrate, probe, bar.watch))
        database.add_calibration(info, fingerprint)
        _print_calibration(database, fingerprint, json)


@app.command()
def passport(
    device: Annotated[str | None, typer.Argument(help="Identity of the device; leave it out for a list.")] = None,
    out: Out = Path("runs"),
    passports: Database = None,
    plot: Annotated[
        Path | None, typer.Option(help="Where the picture goes; by default passport-<device>.png beside the runs.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Write an HTML page: drift, scores, controls, readouts.")] = None,
    json: Json = False,
) -> None:
    """Show a device's passport: info, drift, scores and readouts."""
    from inmateria.devices.passports import Passports, passports_url

    with Passports(passports or passports_url(out), create=False) as database:
        if device is None:
            _print_devices(database, json)
            return
        found = database.passport(device)
    from inmateria.devices.passport_figures import drift

    picture = out / f"passport-{device}.png" if plot is None else plot
    picture.parent.mkdir(parents=True, exist_ok=True)
    drift(found, _ALPHA).savefig(picture, dpi=150)
    if page is not None:
        from inmateria.devices.passport_page import passport_page

        page.write_text(passport_page(found, _ALPHA), encoding="utf-8")
        typer.echo(str(page), err=json)
    _print_passport(found, picture, json)


async def _calibrated(
    substrate: "Substrate", probe: "Probe", watch: "Callable[[str, int, int, int], None]"
) -> "tuple[SubstrateInfo, Fingerprint]":
    from inmateria.devices import calibrate
    from inmateria.devices.identity import require_identity

    async with substrate:
        require_identity(substrate.info)  # before the probe, which is for nothing where its answers cannot be kept
        return substrate.info, await calibrate(substrate, probe, on_progress=watch)


def _print_calibration(database: "Passports", fingerprint: "Fingerprint", json: bool) -> None:
    """Print noise, drift and identity according to a new calibration."""
    from inmateria.devices import compare, recognise, settling_p_value, stranger_rate
    from inmateria.devices.fingerprints import noise_of

    same = (fingerprint.digest, fingerprint.outputs)
    history = [
        each for each in database.passport(fingerprint.device).calibrations if (each.digest, each.outputs) == same
    ]
    before = list(history)
    before.remove(fingerprint)
    drifted = compare(before[0], fingerprint) if before else None
    others = database.others(fingerprint)
    identity = recognise(fingerprint, before[0], others, before[1:]) if before and others else None
    strangers = stranger_rate(before[0] if before else fingerprint, others) if others else None
    order = settling_p_value(fingerprint)
    if json:
        import msgspec

        line = {
            "device": fingerprint.device,
            "taken": fingerprint.taken,
            "calibrations": len(history),
            "noise": noise_of(fingerprint),
            "p_settled": order,
            "since": before[0].taken if before else None,
            "drift": msgspec.to_builtins(drifted),
            "identity": msgspec.to_builtins(identity),
            "strangers": msgspec.to_builtins(strangers),
        }
        typer.echo(msgspec.json.encode(line).decode())
        return
    repeats, steps, outputs = fingerprint.shape
    typer.echo(f"{fingerprint.device}: {repeats} repeats of {steps} steps, {outputs} outputs")
    typer.echo(f"noise: two repeats differ by {noise_of(fingerprint):.3g} standard deviations of the response")
    if order <= _ALPHA:
        typer.echo(f"it still changed while it was probed (p = {order:.2g}): give it a longer --rest")
    if drifted is None:
        typer.echo("the first calibration with this probe; the next one tells whether it has drifted")
    else:
        verdict = "has changed" if drifted.drifted(_ALPHA) else "is not shown to have changed"
        typer.echo(
            f"since {before[0].taken} it {verdict}: distance {drifted.distance:.3g}, p = {drifted.p_value:.2g} "
            f"(by chance up to {drifted.null_95:.3g}, 19 times in 20)"
        )
    if identity is not None:
        typer.echo(
            f"another device would be as near to it with p = {identity.p_other:.2g}, "
            f"by {identity.others} others of its kind"
        )
    if strangers is not None:
        typer.echo(_strangers(strangers))


def _strangers(found: "StrangerRate") -> str:
    """Return one line about the rate at which other devices are taken for one."""
    if not found.radius:
        return (
            f"with {found.others} others known, no device is recognised at alpha {found.alpha:g}: that takes "
            f"{ceil(1 / found.alpha) - 1} others"
        )
    return (
        f"at alpha {found.alpha:g} a device nearer than {found.radius:.3g} is taken for it: {found.rate:.2g} of the "
        f"other devices of its kind, at most {found.at_most:.2g} with 95 % confidence, by {found.others} that are known"
    )


def _print_devices(database: "Passports", json: bool) -> None:
    devices = database.devices()
    if json:
        from json import dumps

        typer.echo(dumps({"devices": devices}))
        return
    if not devices:
        typer.echo("no device has a passport yet; `inmateria calibrate URI` makes one, and so does `inmateria run`")
    for device, kind in devices.items():
        typer.echo(f"{device}  {kind}")


def _minute(taken: str) -> str:
    return taken[:16].replace("T", " ")


def _print_passport(found: "Passport", picture: Path, json: bool) -> None:
    compared = found.drift()
    if json:
        import msgspec

        line = {
            "device": found.info.id,
            "kind": found.info.kind,
            "first_seen": found.first_seen,
            "identity_source": found.identity_source,
            "changes": [{"taken": taken, "fields": fields} for taken, fields in found.changes()],
            "calibrations": [each.taken for each in found.calibrations],
            "drift": [{"taken": now.taken, **msgspec.structs.asdict(each)} for now, each in compared],
            "strangers": msgspec.to_builtins(found.strangers),
            "scores": msgspec.to_builtins(found.scores),
            "readouts": msgspec.to_builtins(found.readouts),
            "plot": str(picture),
        }
        typer.echo(msgspec.json.encode(line).decode())
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from inmateria.devices.passport_page import SOURCES

    console = Console()
    info = found.info
    console.print(
        f"[bold]{info.id}[/bold]  {escape(info.kind)}, {len(info.inputs)} inputs, {len(info.outputs)} outputs"
    )
    console.print(f"its id comes from: {SOURCES[found.identity_source]}")
    console.print(f"first seen {found.first_seen}; {len(found.calibrations)} calibrations", highlight=False)
    for taken, fields in found.changes():
        console.print(f"since {taken} with other {', '.join(fields)}", highlight=False)
    if compared:
        table = Table(title="Drift since the first calibration", title_justify="left")
        for heading in ("taken (UTC)", "distance", "by chance, 95 %", "p"):
            table.add_column(heading, justify="left" if heading.startswith("taken") else "right")
        for now, each in compared:
            table.add_row(
                _minute(now.taken), f"{each.distance:.3f}", f"{each.null_95:.3f}", f"{each.p_value:.2g}",
                style="bold" if each.drifted(_ALPHA) else None,
            )  # fmt: skip
        console.print(table)
    if found.strangers is not None:
        console.print(_strangers(found.strangers), highlight=False)
    if found.scores:
        table = Table(title="Scores", title_justify="left")
        for heading in ("taken (UTC)", "task", "readout", "read from", "metric", "score"):
            table.add_column(heading, justify="right" if heading == "score" else "left")
        for row in found.scores:
            if not row.control:
                words = (escape(word) for word in (row.task, row.readout, row.read_from, row.metric))
                table.add_row(_minute(row.taken), *words, f"{row.score:.3f}")
        console.print(table)
    if found.readouts:
        table = Table(title="Readouts trained on it", title_justify="left")
        for heading in ("name", "calibrated (UTC)", "refuses beyond a drift of"):
            table.add_column(heading)
        for readout in found.readouts:
            table.add_row(escape(readout.name), _minute(readout.taken), f"{readout.bound:g}")
        console.print(table)
    typer.echo(str(picture))
