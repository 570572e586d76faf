"""CONTRIBUTING's path, walked by a package of its own: its code as it stands, found by entry points, under pytest."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def blocks_of(heading: str, language: str) -> list[str]:
    section = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, flags=re.DOTALL)


def package_of(heading: str, folder: Path) -> dict[str, str]:
    """Lay a package out as the page says, its entry points included; give the environment that finds it."""
    code, *tests = blocks_of(heading, "python")
    package = folder / "my_package"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "my_module.py").write_text(code, encoding="utf-8")
    for test in tests:
        (folder / "test_mine.py").write_text("from my_package.my_module import *\n" + test, encoding="utf-8")
    group, entry = re.search(r'entry-points\."([\w.]+)"\]\n(.+)', blocks_of(heading, "toml")[0]).groups()  # type: ignore[union-attr]
    information = folder / "my_package-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[{group}]\n{entry.replace(chr(34), '')}\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]), "CI": ""}


def run(environment: dict[str, str], folder: Path, *words: str) -> str:
    told = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, timeout=500, env=environment, cwd=folder
    )
    assert told.returncode == 0, told.stdout + told.stderr
    return told.stdout


def test_the_adapter_passes_every_check_and_runs_a_task(tmp_path: Path) -> None:
    environment = package_of("An adapter of your own", tmp_path)
    told = run(environment, tmp_path, "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py")
    assert int(re.search(r"(\d+) passed", told)[1]) >= 13  # type: ignore[index]
    settings = ["-s", "steps=600", "-s", "samples=1", "-s", "step=0.01", "-s", "round_trips=5"]
    told = run(environment, tmp_path, "inmateria", "run", "memory", "--on", "mybench://here", *settings)
    assert "memory capacity" in told.lower()


@pytest.mark.parametrize(("heading", "most"), [("An adapter of your own", 100)])
def test_it_is_short_and_uses_public_names_only(heading: str, most: int) -> None:
    for code in blocks_of(heading, "python"):
        assert len(code.splitlines()) < most
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("inmateria"):
                assert (node.module or "").count(".") <= 1, f"{node.module} is not a public place"
                assert not any(name.name.startswith("_") for name in node.names)
