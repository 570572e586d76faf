"""`inmateria export-readout`: a saved readout written as C or as an ONNX model."""

from pathlib import Path
from typing import Annotated

import typer

from inmateria.cli.application import app


@app.command("export-readout")
def export_readout(
    readout: Annotated[Path, typer.Argument(help="A readout's file, as save_readout writes it (.npz).")],
    to: Annotated[Path, typer.Argument(help="NAME.c, beside which NAME.h and NAME_test.c are written, or NAME.onnx.")],
    samples: Annotated[
        Path | None,
        typer.Option(help="Features (samples, features) as the readout will receive them, .npy: needed for C."),
    ] = None,
    bits: Annotated[int, typer.Option(help="Bits of a count of the features, of a ternary readout.")] = 8,
) -> None:
    """Write a readout for other machines: C99 without floating point where none is needed, or ONNX."""
    import numpy as np

    from inmateria.reservoir import export_readout as write
    from inmateria.reservoir import load_readout, read_readout_header

    if samples is not None and not samples.is_file():
        raise typer.BadParameter(f"{samples} does not exist; give an .npy file of features")
    X = None if samples is None else np.load(samples, allow_pickle=False)
    loaded = load_readout(readout, device=read_readout_header(readout).device)
    for path in write(loaded, to, X, bits=bits):
        typer.echo(str(path))
