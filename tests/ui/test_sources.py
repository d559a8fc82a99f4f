"""The sources of the page: their types, their own tests, and that they speak the API as it is published."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import httpx
import pytest

from tools import ui
from tools.bootstrap import Failed

ROOT = Path(__file__).resolve().parents[2]
UI = ROOT / "ui"
build = ui.builder(ROOT)


@pytest.fixture(scope="module")
def npm() -> list[str]:
    """Of the machine, or of the locked wheel."""
    with ui.building(ROOT) as lock_fd:
        found = ui.npm_of(ROOT, build, lock_fd)
        for folder in (UI, UI / "codegen"):
            build.install(folder, found)
    return found


def test_the_page_has_no_type_errors(npm: list[str]) -> None:
    build.run(npm, ["run", "types", "--silent"], UI)


def test_the_tests_of_its_parts_pass(npm: list[str]) -> None:
    said = build.run(npm, ["test", "--silent"], UI)
    assert "passed" in said
    assert "failed" not in said


def test_it_speaks_the_api_as_it_is_published(npm: list[str], tmp_path: Path) -> None:
    """When it fails: `npm run schema` in ui/codegen."""
    made = tmp_path / "schema.d.ts"
    words = ["exec", "--", "openapi-typescript", "../../docs/reference/openapi.json", "--output", str(made)]
    build.run(npm, words, UI / "codegen")
    assert made.read_text() == (UI / "src" / "api" / "schema.d.ts").read_text()


def test_the_built_page_has_no_script_and_no_style_in_it_and_is_small() -> None:
    ui.bring_up_to_date(ROOT)
    web = ui.web_of(ROOT)
    html = (web / "index.html").read_text()
    assert "<script>" not in html
    assert "style" not in html.replace('rel="stylesheet"', "")
    assert " on" not in html.split("<body>")[0]
    first = [path for path in (web / "assets").iterdir() if path.name.startswith("index-")]
    assert sum(len(gzip.compress(path.read_bytes(), 9)) for path in first) < 160_000
    assert sum(path.stat().st_size for path in web.rglob("*")) < 3_000_000


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The page's sources and the place where it is built, away from ours."""
    root = tmp_path / "clone"
    shutil.copytree(UI, root / "ui", ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    (root / "src" / "podium" / "gateway").mkdir(parents=True)
    (root / ".venv").mkdir()
    return root


def test_without_a_registry_a_start_says_so_in_a_line_goes_on_and_does_not_ask_again_at_once(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if build.npm_of_machine() is None:
        pytest.skip("no Node on PATH; the wheel's would have to be downloaded")
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    ui.before_serving(clone)
    said = capfd.readouterr().err.splitlines()
    assert said[0] == "podium: building the dashboard …"
    assert said[1].startswith("podium: starting without the dashboard: the npm registry cannot be reached")
    assert len(said) == 2
    ui.before_serving(clone)
    assert capfd.readouterr().err == ""
    with pytest.raises(Failed, match="cannot be reached"):
        ui.bring_up_to_date(clone)


def test_what_is_built_is_not_built_again_until_a_source_changes(
    clone: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ui.bring_up_to_date(ROOT)
    shutil.copytree(ui.web_of(ROOT), ui.web_of(clone))
    capfd.readouterr()
    ui.before_serving(clone)
    assert capfd.readouterr().err == ""
    assert build.is_current(clone / "ui", ui.web_of(clone))
    (clone / "ui" / "src" / "live" / "text.test.ts").write_text("// tests change nothing\n")
    assert build.is_current(clone / "ui", ui.web_of(clone))
    (clone / "ui" / "src" / "main.tsx").write_text("// another page\n")
    assert not build.is_current(clone / "ui", ui.web_of(clone))
    shutil.rmtree(ui.web_of(clone))
    assert not build.is_current(clone / "ui", ui.web_of(clone))


def committed(to: Path) -> Path:
    """The tree as a clone or an sdist has it: nothing built, nothing installed."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)
    return to


def programs(folder: Path, *names: str) -> str:
    folder.mkdir()
    for name in names:
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return str(folder)


def pip(root: Path, path: str, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """In a new environment beside `root`, with this PATH."""
    venv = root.with_name(root.name + "-venv")
    if not venv.exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", *words],
        cwd=root, env={**environ, "PATH": path, **extra}, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_pip_install_without_node_makes_a_podium_that_serves_the_page(tmp_path: Path) -> None:
    root = committed(tmp_path / "tree")
    path = programs(tmp_path / "bin", "git", "sh", "env", "uname")
    done = pip(root, path, "install", "--quiet", ".")
    assert done.returncode == 0, done.stderr[-2000:]
    podium = str(root.with_name("tree-venv") / "bin" / "podium")
    environ = {"PATH": path, "HOME": str(tmp_path), "PODIUM_HOME": str(tmp_path / "home"), "PODIUM_PORT": "0"}
    subprocess.run([podium, "up", "--detach"], env=environ, check=True, capture_output=True, timeout=60)
    try:
        url = json.loads((tmp_path / "home" / "server.json").read_text())["url"]
        with httpx.Client(base_url=url, trust_env=False) as http:
            page = http.get("/tasks/anything")
            assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
            scripts = [word for word in page.text.split('"') if word.endswith(".js")]
            assert scripts
            script = http.get(scripts[0])
            assert (script.status_code, script.headers["content-encoding"]) == (200, "gzip")
            assert "immutable" in script.headers["cache-control"]
    finally:
        subprocess.run([podium, "down"], env=environ, check=True, capture_output=True, timeout=60)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_wheel_has_the_page_built_by_the_machines_node_and_is_refused_without_it(tmp_path: Path) -> None:
    if build.npm_of_machine() is None:
        pytest.skip("no Node on PATH; the test beside this one builds with Node from PyPI")
    root = committed(tmp_path / "tree")
    words = ("wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path / "out"))
    away = {"npm_config_registry": "http://127.0.0.1:9/", "npm_config_cache": str(tmp_path / "cache")}
    refused = pip(root, os.environ["PATH"], *words, ".", **away)
    assert refused.returncode != 0
    assert "podium: the web page was not built: the npm registry cannot be reached" in refused.stderr
    done = pip(root, os.environ["PATH"], *words, ".")
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = (tmp_path / "out").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "podium/gateway/web/index.html" in names
    assert not [name for name in names if name.startswith("ui/") or "node_modules" in name]
    # The same again is not built again: the digest of the sources says that it is there.
    again = pip(root, os.environ["PATH"], *words, ".", **away)
    assert again.returncode == 0, again.stderr[-2000:]
    skipped = pip(root, os.environ["PATH"], "install", "--quiet", "--no-deps", "-e", ".", PODIUM_SKIP_UI="1")
    assert skipped.returncode == 0, skipped.stderr[-2000:]
