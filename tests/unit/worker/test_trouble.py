"""Trouble is told when it changes."""

from __future__ import annotations

from podium.worker.trouble import Trouble


def test_a_trouble_is_said_once_and_its_end_once(caplog):
    trouble = Trouble()
    trouble.over("never was")
    for text in ("a", "a", "b", "b", "a"):
        trouble.say(text)
    trouble.over("over")
    trouble.over("over")
    trouble.say("a")
    assert [record.message for record in caplog.records] == ["a", "b", "a", "over", "a"]
