"""Every re-creation of a public script runs on its platform's emulator, and docs/platform_scripts.md says what ran."""

import gc
from pathlib import Path

import pytest
from platform_scripts.table import emulator_of, page_rows, read, run, scripts


def parameters() -> list[object]:
    marks = {path: [pytest.mark.slow] if getattr(emulator_of(path), "SLOW", False) else [] for path in scripts()}
    return [pytest.param(path, marks=marks[path], id=f"{path.parent.name}/{path.stem}") for path in scripts()]


@pytest.mark.filterwarnings("default")  # scripts of others, with their own deprecations
@pytest.mark.parametrize("path", parameters())
def test_a_script_runs_as_the_page_says(path: Path) -> None:
    if emulator_of(path).MISSING:
        pytest.skip(emulator_of(path).MISSING)
    row = run(read(path))
    gc.collect()  # of what a script left open, warnings come now and not in another test
    assert row in page_rows(), "run python tests/platform_scripts/table.py"


def test_the_page_has_no_row_without_its_script() -> None:
    links = [f"[{each.title}]({each.source})" for each in map(read, scripts())]
    assert [row.split(" | ")[0].removeprefix("| ") for row in page_rows()] == links
