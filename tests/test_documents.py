"""The documents beside the code are complete, and point to what exists."""

import re
import runpy
from pathlib import Path
from typing import get_args

import pytest
import yaml

import inmateria
from inmateria.adapters.uri import adapters_found, is_simulated
from inmateria.reservoir import training_names
from inmateria.simulators.contrastive.rules import Rule

ROOT = Path(__file__).parent.parent
PAGES = sorted((*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")))
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))


def test_the_index_of_decisions_lists_each_with_its_title():
    written = runpy.run_path(str(ROOT / "docs" / "decisions_index.py"))
    assert (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8") == written["index"](), (
        "run python docs/decisions_index.py"
    )


def test_no_two_decisions_share_a_number():
    numbers = [path.name[:4] for path in (ROOT / "docs" / "decisions").glob("[0-9]*.md")]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_in_a_page_lead_to_files_that_exist(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", text)
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


def test_the_citation_names_the_present_version_and_the_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == inmateria.__version__
    assert citation["license"] == "Apache-2.0"
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert all(set(author) == {"name"} for author in citation["authors"])  # entities, not persons


def test_the_hooks_before_a_commit_run_the_tools_that_make_lint_runs():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"]
    entries = {hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in hooks[0]["hooks"]}
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("\nlint:")[1].split("\n\n")[0]
    assert entries == set(re.findall(r"\$\(BIN\)/(\S+)", recipe))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.stem)
def test_each_issue_template_asks_for_something(template):
    form = yaml.safe_load(template.read_text(encoding="utf-8"))
    assert form["name"]
    assert form["description"]
    assert any(field.get("validations", {}).get("required") for field in form["body"])


def test_the_page_of_ways_to_train_has_every_training_and_every_rule():
    page = (ROOT / "docs" / "training_matter.md").read_text(encoding="utf-8")
    names = {*training_names(), *(rule.__name__ for rule in get_args(Rule))}
    assert len(names) > 10
    assert {name for name in names if f"`{name}`" not in page} == set()


def test_the_page_of_nodes_has_every_simulator():
    page = (ROOT / "docs" / "nodes.md").read_text(encoding="utf-8")
    schemes = {scheme for scheme, _ in adapters_found() if is_simulated(f"{scheme}://")}
    assert len(schemes) > 4
    assert {scheme for scheme in schemes if f"`{scheme}://`" not in page} == set()
