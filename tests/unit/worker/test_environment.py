from __future__ import annotations

from podium.worker.answers import mask
from podium.worker.environment import agent_environment


def test_nothing_comes_along_that_was_not_named():
    own = {"PATH": "/bin", "HOME": "/h", "AWS_SECRET": "s", "PODIUM_OWNER": "x", "LC_ALL": "C", "EXTRA": "e"}
    seen = agent_environment(own, ("EXTRA", "ABSENT"), {"PLAN": "p"}, {"PODIUM_RUN": "run_1"})
    assert seen == {
        "PATH": "/bin", "HOME": "/h", "LC_ALL": "C", "LANG": "C.UTF-8", "EXTRA": "e", "PLAN": "p",
        "PODIUM_RUN": "run_1",
    }  # fmt: skip


def test_a_plan_cannot_change_who_the_run_is():
    seen = agent_environment({}, (), {"PODIUM_RUN": "run_2"}, {"PODIUM_RUN": "run_1"})
    assert seen["PODIUM_RUN"] == "run_1"


def test_a_masked_command_line_shows_options_and_no_values():
    argv = ("claude", "-p", "secret prompt", "--model=x", "--key", "abc")
    assert mask(argv) == ("claude", "-p", "…", "--model=…", "--key", "…")
