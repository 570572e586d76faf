"""Options that describe an experiment: `--metadata FILE` and `--meta NAME=VALUE`, of `run`, `record` and `export`."""

from pathlib import Path
from typing import Annotated, Any

import typer

MetadataFile = Annotated[
    Path | None,
    typer.Option(help="Who, where and what was recorded: a file (.toml or .json), see docs/recordings.md."),
]
MetadataValues = Annotated[
    list[str] | None,
    typer.Option("--meta", metavar="NAME=VALUE", help="The same, one by one: --meta subject.species='Mus musculus'."),
]


def metadata_of(file: Path | None, values: list[str] | None) -> dict[str, Any]:
    """Return the metadata of a file, changed by single values."""
    if file is None and not values:
        return {}
    from inmateria.recording.metadata import MetadataError, checked_metadata, read_metadata, with_value

    try:
        metadata = {} if file is None else read_metadata(file)
        for pair in values or []:
            name, equals, text = pair.partition("=")
            if not equals or not name:
                raise MetadataError(f"{pair!r} is not NAME=VALUE")
            metadata = with_value(metadata, name, text)
        return checked_metadata(metadata)
    except MetadataError as error:
        raise typer.BadParameter(str(error)) from None
