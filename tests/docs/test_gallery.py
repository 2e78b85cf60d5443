"""The gallery that is committed is the one that its command makes."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def files(folder: Path) -> dict[str, str]:
    paths = [folder / "gallery.md", *sorted((folder / "pictures").iterdir())]
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in paths}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("gallery", DOCS / "gallery.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("docs")
    module.draw(folder)
    return files(folder)


def test_the_gallery_is_what_its_command_makes(made: dict[str, str]):
    assert len(made) > 20
    committed = files(DOCS)
    assert list(made) == list(committed)
    assert [name for name in made if made[name] != committed[name]] == []


def test_every_picture_is_shown_and_stands_by_itself(made: dict[str, str]):
    for name, text in made.items():
        if name.endswith(".svg"):
            assert f"]({name})" in made["gallery.md"]
            assert text.startswith("<svg")
            assert "href" not in text
