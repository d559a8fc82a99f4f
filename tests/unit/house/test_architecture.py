"""What the documents say about the code is true: files and functions they name are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SOURCE = ROOT / "src" / "podium"
NAMED = re.compile(r"`((?:[a-z_]+/)+(?:[a-z_0-9]+\.(?:py|md))?)(?:: ([a-z_]+))?`")
DOCUMENTS = [ROOT / "docs/explanation/architecture.md", ROOT / "docs/lifecycle.md", ROOT / "docs/index.md"]


def places(name: str) -> list[Path]:
    return [path for path in (SOURCE / name, ROOT / name) if path.exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_every_file_that_a_document_names_exists_and_has_what_it_says(document: Path) -> None:
    found = NAMED.findall(document.read_text())
    assert found
    assert [name for name, _ in found if not places(name)] == []
    for name, function in found:
        if function:
            assert re.search(rf"def {function}\b", places(name)[0].read_text()), f"{name}: {function}"


def test_the_way_of_one_run_passes_every_room() -> None:
    text = DOCUMENTS[0].read_text()
    rooms = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists()}
    assert {room for room in rooms if f"`{room}/" not in text} == set()


def test_the_index_lists_every_document() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    listed = {(ROOT / "docs" / link).resolve() for link in re.findall(r"\]\(([^)#:]+)", index)}
    written = {path.resolve() for path in (ROOT / "docs").glob("**/*.md")}
    decisions = {path for path in written if path.parent.name == "decisions"}
    missing = written - decisions - listed - {(ROOT / "docs" / "index.md").resolve()}
    assert sorted(path.name for path in missing if path.stem not in index) == []
