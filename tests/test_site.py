"""The documentation site: its reference is of the program, and what loads anything from elsewhere is found."""

import importlib
import re
import runpy
import sys
from pathlib import Path

import msgspec
import pytest

from inmateria.adapters.uri import adapters_found, described_by
from inmateria.cli.parameters import parameters_of
from inmateria.protocols.task import find_task, task_names

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


@pytest.fixture
def parts(monkeypatch):
    """The modules of the site, by name."""
    monkeypatch.syspath_prepend(str(DOCS / "site_parts"))
    yield importlib.import_module
    for name in ("generated_reference", "public_names"):
        sys.modules.pop(name, None)


def sections(lines):
    """Return the text below each heading of the second level."""
    found = re.split(r"^## `(.+)`$", "\n".join(lines), flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_the_reference_has_every_setting_of_every_task(parts):
    written = sections(parts("generated_reference").tasks())
    assert set(written) == set(task_names())
    for name, text in written.items():
        for field in msgspec.structs.fields(find_task(name).settings):
            assert f"| `{field.encode_name}` |" in text


def test_the_reference_has_every_parameter_of_every_scheme(parts):
    written = sections(parts("generated_reference").uris())
    assert set(written) == {f"{scheme}://" for scheme, _ in adapters_found()}
    for scheme, _ in adapters_found():
        for each in parameters_of(*described_by(scheme)):
            assert f"| `{each.name}` |" in written[f"{scheme}://"]


def test_the_reference_has_every_command_and_option(parts):
    written = sections(parts("generated_reference").commands())
    assert {"inmateria run", "inmateria watch", "inmateria sweep", "inmateria passport"} <= set(written)
    assert "`--on`" in written["inmateria run"]
    assert "`--every`" in written["inmateria watch"]
    assert all(text.strip() for text in written.values())
    assert "Sentinel" not in "".join(written.values())


def test_every_row_of_a_generated_table_has_as_many_cells_as_its_head(parts):
    module = parts("generated_reference")
    for write in (module.tasks, module.uris, module.commands):
        head = 0
        for line in write():
            cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
            assert not (head and cells) or cells == head, line
            head = cells


def test_the_reference_has_every_public_name(parts):
    module = parts("public_names")
    rooms = {path.parent.name for path in (ROOT / "inmateria").glob("*/__init__.pyi")}
    assert {f"inmateria.{room}" for room in rooms} <= set(module.ROOMS)
    listed = (DOCS / "reference" / "index.md").read_text(encoding="utf-8")
    for room in module.ROOMS:
        assert f"\napi/{room}.room\n" in listed
        page = module.page_of(room)
        for name in importlib.import_module(room).__all__:
            assert re.search(rf"(^   |data:: |\.){name}`?$", page, re.MULTILINE), (room, name)


@pytest.fixture
def loaded():
    return runpy.run_path(str(DOCS / "loads_nothing.py"))["loaded_from_elsewhere"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.html", '<script src="https://cdn.example/x.js"></script>'),
        ("a.html", '<script src=//cdn.example/x.js></script>'),
        ("a.html", '<link rel="stylesheet" href="https://fonts.example/css">'),
        ("a.html", '<link rel="preconnect" href="https://fonts.example">'),
        ("a.html", '<img src="http://badge.example/b.svg">'),
        ("a.html", '<img srcset="a.png 1x, https://e.example/a.png 2x" src="a.png">'),
        ("a.html", '<p style="background: url(https://e.example/p.png)">'),
        ("a.html", "<style>@font-face { src: url('//fonts.example/f.woff2') }</style>"),
        ("a.html", '<script>fetch("https://e.example/data")</script>'),
        ("a.css", "@import 'https://fonts.example/css';"),
        ("a.js", 'script.src = "https://cdn.example/mathjax.js"'),
    ],
)  # fmt: skip
def test_what_is_loaded_from_elsewhere_is_found(loaded, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert len([*loaded(tmp_path)]) == 1


def test_a_link_to_follow_loads_nothing(loaded, tmp_path):
    (tmp_path / "a.html").write_text(
        '<a href="https://doi.org/1">x</a><img src="b.png"><link rel="canonical" href="https://e">'
    )
    (tmp_path / "a.js").write_text("// see https://example.org/licence\nconst x = 1")
    assert [*loaded(tmp_path)] == []


def test_the_picture_of_the_readme_is_as_its_script_draws_it():
    drawn = runpy.run_path(str(DOCS / "in_one_picture.py"))["picture"]()
    assert (DOCS / "images" / "in_one_picture.svg").read_text(encoding="utf-8") == drawn
    assert "prefers-color-scheme: dark" in drawn
    assert "http" not in drawn.replace("http://www.w3.org/2000/svg", "")


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_every_page_is_in_a_list_of_the_site(page):
    listed = set()
    for index in (*DOCS.glob("*.md"), *DOCS.glob("*/index.md")):
        for block in re.findall(r"```\{toctree\}(.*?)```", index.read_text(encoding="utf-8"), re.DOTALL):
            for line in block.split("\n"):
                if line and not line.startswith(":"):
                    listed |= {path.resolve() for path in index.parent.glob(f"{line.strip()}.md")}
    if page.stem not in ("index", "releasing"):
        assert page.resolve() in listed
