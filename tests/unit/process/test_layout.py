"""The file that carries argv and environment to a holder, and how little a holder loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.process import layout
from podium.process.layout import Launch

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
NAME = TEXT.map(lambda name: name.replace("=", "")).filter(bool)


@given(
    cwd=TEXT.filter(bool),
    argv=st.lists(TEXT, min_size=1, max_size=6),
    env=st.dictionaries(NAME, TEXT, max_size=6),
    grace_s=st.floats(0, 1000),
)
def test_a_launch_survives_the_way_to_the_holder(
    cwd: str, argv: list[str], env: dict[str, str], grace_s: float
) -> None:
    there = Launch.decode(Launch(cwd, argv, env, grace_s).encode())
    assert (there.cwd, there.argv, there.env, there.grace_s) == (cwd, argv, env, grace_s)


@pytest.mark.parametrize(
    ("argv", "env"),
    [([], {}), (["a\0"], {}), (["a"], {"A": "\0"}), (["a"], {"": "x"}), (["a"], {"A=B": "x"})],
)
def test_what_the_kernel_could_not_pass_on_is_refused(argv: list[str], env: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"argv|variable"):
        Launch("/", argv, env, 1.0).encode()


def test_template_and_holder_load_the_standard_library_only_and_nothing_heavy() -> None:
    # Every import here is paid once per agent, in memory.
    source = str(Path(layout.__file__).parents[2])
    code = (
        f"import sys; sys.path.append({source!r}); import podium.process.template;"
        "print(*sorted(name for name in sys.modules))"
    )
    loaded = subprocess.check_output([sys.executable, "-I", "-S", "-c", code], text=True).split()
    ours = {name for name in loaded if name.startswith("podium")}
    assert ours == {
        "podium",
        "podium.process",
        *(
            f"podium.process.{name}"
            for name in ("template", "holder", "agent", "relay", "layout", "procfs", "cgroup")
        ),
    }
    heavy = {"msgspec", "anyio", "asyncio", "typing", "pathlib", "json", "re", "subprocess", "threading"}
    assert not heavy & set(loaded)
