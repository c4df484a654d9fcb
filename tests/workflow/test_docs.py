"""Pages that are made from something else say what it says."""

import re

from harness import ROOT
from nmf_workflow import docs


def test_config_page_is_what_the_schema_says():
    written = (ROOT / "docs" / "config.md").read_text(encoding="utf-8")
    assert written == docs.page(), "docs/config.md is out of date; repair it with: make docs"


def test_check_names_the_repair_command(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(docs, "PAGE", tmp_path / "config.md")
    assert docs.main(["--check"]) == 1
    assert "make docs" in capsys.readouterr().err
    assert docs.main([]) == 0
    assert docs.main(["--check"]) == 0
    docs.PAGE.write_text(docs.PAGE.read_text().replace("| `layers` |", "| `layer` |"))
    assert docs.main(["--check"]) == 1


def test_links_lead_somewhere():
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_make_commands_in_the_pages_exist():
    made = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8")):
            assert target in made, f"{page.name} says: make {target}"
