"""Run re-creations of public scripts on the platforms' emulators, and write the table of what ran: python table.py."""

import ast
import asyncio
import inspect
import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, redirect_stdout
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from io import StringIO
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "platform_scripts.md"
BEGIN, END = "<!-- made by tests/platform_scripts/table.py -->", "<!-- end -->"
HEAD = "| script | what ran | what is left |\n| --- | --- | --- |"


@dataclass(frozen=True)
class Cell:
    """A part of a script: its words, its kind ("run", "check" or "refused") and its code."""

    words: str
    kind: str
    code: CodeType


@dataclass(frozen=True)
class Script:
    """A re-creation: its title, where the original is, what it leaves out, and its cells."""

    path: Path
    title: str
    source: str
    left: str
    cells: tuple[Cell, ...]


def scripts() -> list[Path]:
    """Return the paths of all scripts, platform after platform."""
    return sorted(each for each in HERE.glob("*/*.py") if each.name != "emulator.py")


def emulator_of(path: Path) -> ModuleType:
    """Import the `emulator.py` beside a script."""
    place = path.parent / "emulator.py"
    name = f"platform_scripts_{path.parent.name}"
    if name not in sys.modules:
        spec = spec_from_file_location(name, place)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def read(path: Path) -> Script:
    """Read a script and compile its cells."""
    text = path.read_text(encoding="utf-8")
    head = ast.get_docstring(ast.parse(text)) or ""
    source = re.search(r"^Source: (\S+)$", head, re.MULTILINE)
    if source is None:
        raise ValueError(f"{path} has no line 'Source: https://...' in its docstring; see README.md beside its folder")
    left = re.search(r"^Left: (.*?)\.?$(?=\n\n|\Z)", head, re.MULTILINE | re.DOTALL)
    marks = [*re.finditer(r"^# %% (.+)$", text, re.MULTILINE)]
    if not marks:
        raise ValueError(f"{path} has no cell; a cell begins with a line '# %% words'")
    cells = []
    for mark, after in zip(marks, [*marks[1:], None], strict=True):
        lines = "\n" * text.count("\n", 0, mark.start())  # so that errors tell the line in the file
        code = lines + text[mark.start() : after.start() if after else None]
        kind, _, words = (
            mark[1].partition(": ") if mark[1].startswith(("check: ", "refused: ")) else ("run", "", mark[1])
        )
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        cells.append(Cell(words, kind, compile(code, str(path), "exec", flags, dont_inherit=True)))
    words = " ".join(left[1].split()) if left else ""
    return Script(path, head.splitlines()[0].rstrip("."), source[1], words, tuple(cells))


def run(script: Script) -> str:
    """Run a script on its emulator, and return its row of the table."""
    running: Callable[[Path], AbstractContextManager[Any]] = emulator_of(script.path).running
    ran, left = 0, [script.left] if script.left else []
    counted = [cell for cell in script.cells if cell.kind != "check"]
    with running(script.path) as platform, asyncio.Runner() as runner, redirect_stdout(StringIO()):
        names: dict[str, Any] = {"__name__": "__main__", "__file__": str(script.path)}
        for cell in script.cells:
            if cell.kind == "check":
                names["platform"] = platform
            try:
                _run(cell.code, names, runner)
            except Exception as error:
                if cell.kind != "refused":
                    raise
                if cell.words not in str(error):
                    raise AssertionError(f"{cell.words!r} is not in the message: {error}") from error
                left.append(f"refused: {_short(' '.join(str(error).split()))}")
                continue
            if cell.kind == "refused":
                raise AssertionError(f"the cell 'refused: {cell.words}' of {script.path.name} was not refused")
            ran += cell.kind == "run"
    whole = f"whole, {ran} cells" if ran == len(counted) else f"{ran} of {len(counted)} cells"
    rest = "; ".join(left).replace("|", "\\|") or "nothing"
    return f"| [{script.title}]({script.source}) | {whole} | {rest} |"


def _short(message: str) -> str:
    """Return a message without what is longer than a row of a table should be."""
    return message if len(message) <= 220 else f"{message[:220].rsplit(' ', 1)[0]} ..."


def _run(code: CodeType, names: dict[str, Any], runner: asyncio.Runner) -> None:
    if not code.co_flags & inspect.CO_COROUTINE:
        exec(code, names)
        return

    async def go() -> None:
        await eval(code, names)

    runner.run(go())


def page_rows() -> list[str]:
    """Return the rows of scripts that stand in the page, in order."""
    between = PAGE.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    return [line for line in between.splitlines() if line.startswith("| [")]


def made(rows: dict[Path, str]) -> str:
    """Return the tables, one a platform, from the rows of all scripts."""
    parts = []
    for folder in dict.fromkeys(path.parent for path in rows):
        mine = [row for path, row in rows.items() if path.parent == folder]
        parts.append("\n".join([f"## {emulator_of(folder / 'x').NAME}", "", HEAD, *mine, ""]))
    return "\n".join(parts)


def main() -> None:
    """Run every script and write the page's table."""
    missing = {path.parent.name: emulator_of(path).MISSING for path in scripts() if emulator_of(path).MISSING}
    if missing:
        raise SystemExit(f"the table needs all platforms: {missing}")
    table = made({path: run(read(path)) for path in scripts()})
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
