from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.git.names import (
    MAX_NAME_BYTES,
    MAX_SLUG_CHARS,
    branch_for,
    name_problem,
    parse_branch,
    parse_commit,
    parse_ref,
)
from podium.kernel.errors import InvalidRequest


@pytest.mark.parametrize(
    "name",
    [
        "main",
        "feature/x",
        "fix-1.2",
        "a_b",
        "user@host/x",
        "v1+2=3",
        "größe",
        "łódź/é",
        "x" * 200,
        "#12",
        "a%b,c",
    ],
)
def test_ordinary_branch_names_pass_unchanged(name: str) -> None:
    assert parse_branch(name) == name
    assert parse_ref(f"refs/{name[:190]}")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-x",
        "--upload-pack=touch x",
        "a..b",
        "@{-1}",
        "a@{b",
        "@",
        "HEAD",
        "refs/heads/x",
        "x" * 201,
        "ü" * 101,
        "a b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[b",
        "a\\b",
        "a\tb",
        "a\nb",
        "a\0b",
        "a\x7fb",
        "/a",
        "a/",
        "a//b",
        "a.",
        ".a",
        "a/.b",
        "a.lock",
        "a.lock/b",
        "A.LOCK",
        "$(x)",
        "`x`",
        "a;b",
        "a|b",
        "a&b",
        "a>b",
        "ma\u0456n",
        "\u0430dmin",
        "a\u200bb",
        "a\u202eb",
        "a\u00adb",
        "gro\u0308ße",
        "\uff4dain",
        "ma\u0131n",
        "\u017fecret",
        "\u01c3",
        "a\ud800b",
    ],
)
def test_a_name_that_git_a_shell_or_an_eye_could_misread_is_refused_with_a_next_step(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_branch(name)
    assert caught.value.hint
    assert caught.value.message.isascii()


@pytest.mark.parametrize("name", ["main", "heads/main", "refs/", "refs/-x/..", "refs//x", "refs/heads/a b"])
def test_a_ref_is_full_and_follows_the_same_rules(name: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_ref(name)


@pytest.mark.parametrize(
    "raw", ["", "abc", "1" * 39, "1" * 41, "G" * 40, "A" * 40, "1" * 40 + "\n", "-" * 40]
)
def test_only_a_full_hash_is_a_commit(raw: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_commit(raw)


def test_both_lengths_of_hashes_are_commits() -> None:
    assert parse_commit("a" * 40) == "a" * 40
    assert parse_commit("0" * 64) == "0" * 64


@given(st.text(st.characters(codec="utf-8"), max_size=30) | st.text("ab./-@{~^: \\lock", max_size=12))
def test_no_text_passes_that_breaks_the_rules_of_refs(text: str) -> None:
    if name_problem(text) is None:
        assert not text.startswith(("-", "/", "."))
        assert not any(
            token in text for token in ("..", "@{", "//", "/.", "\\", " ", "~", "^", ":", "?", "*", "[")
        )
        assert not text.endswith(("/", ".", ".lock"))
        assert len(text.encode()) <= MAX_NAME_BYTES


@settings(deadline=None)
@given(st.lists(st.text("ab./-@{}~lockHEADé#+=%,_1", min_size=1, max_size=12), min_size=40, max_size=40))
def test_every_name_that_passes_is_one_that_git_accepts(texts: list[str]) -> None:
    passed = [text for text in texts if name_problem(text) is None][:2]
    for text in passed:
        assert (
            subprocess.run(["git", "check-ref-format", "--branch", text], capture_output=True).returncode == 0
        )


@given(st.text())
def test_every_title_gives_a_branch_that_passes(title: str) -> None:
    branch = branch_for("task_01jabc", title)
    assert branch.startswith("podium/task_01jabc")
    assert len(branch) <= len("podium/task_01jabc-") + MAX_SLUG_CHARS
    assert parse_branch(branch) == branch


def test_a_title_becomes_a_readable_slug() -> None:
    assert branch_for("task_1", "Fix: größe & Łódź (again)!") == "podium/task_1-fix-groe-odz-again"
    assert branch_for("task_1", "  ") == "podium/task_1"
    assert branch_for("task_1", "名前") == "podium/task_1"
    assert branch_for("task_1", "a" * 39 + " b") == "podium/task_1-" + "a" * 39
