"""A client of another version than its server passes over what it does not know and fills what it misses."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Struct

from podium.client.pages import Page
from podium.gateway.samples import NOUNS
from podium.kernel.nouns import Task

MAPS = {"options", "trusted_files", "details"}
"""Names and values that somebody chose: no members of ours."""
ids = [type(noun).__name__ for noun in NOUNS]


def plain(noun: Struct) -> Any:
    return msgspec.json.decode(msgspec.json.encode(noun))


def from_the_future(data: Any) -> Any:
    """With members that today's client does not know, at every depth."""
    if isinstance(data, list):
        return [from_the_future(part) for part in data]
    if isinstance(data, dict):
        known = {name: part if name in MAPS else from_the_future(part) for name, part in data.items()}
        return known | {"invented_later": {"of": ["what", "ever"]}}
    return data


@pytest.mark.parametrize("noun", NOUNS, ids=ids)
def test_members_that_came_later_are_passed_over(noun: Struct) -> None:
    answer = msgspec.json.encode(from_the_future(plain(noun)))
    kind = type(noun)
    decoded = msgspec.json.decode(answer, type=kind)
    for field in set(kind.__struct_fields__) - {"effect"}:
        assert getattr(decoded, field) == getattr(noun, field)


@pytest.mark.parametrize("noun", NOUNS, ids=ids)
def test_members_that_an_earlier_server_did_not_have_get_their_defaults(noun: Struct) -> None:
    kind = type(noun)
    required = {field.name for field in msgspec.structs.fields(kind) if field.required}
    earlier = {name: part for name, part in plain(noun).items() if name in required}
    decoded = msgspec.json.decode(msgspec.json.encode(earlier), type=kind)
    assert {name: getattr(decoded, name) for name in required} == {
        name: getattr(noun, name) for name in required
    }


def test_a_page_from_the_future_is_a_page() -> None:
    task = next(noun for noun in NOUNS if isinstance(noun, Task))
    answer = from_the_future({"items": [plain(task)], "next": None})
    page = msgspec.json.decode(msgspec.json.encode(answer), type=Page[Task])
    assert page.items[0].id == task.id
