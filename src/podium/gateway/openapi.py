"""The API's own description, made from the routes and from the structs that decode and encode.

Not by the framework: its schemas know neither tagged unions nor refused unknown fields. msgspec does.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any, Union, get_args

import msgspec
from litestar import Litestar
from litestar.routes import HTTPRoute
from msgspec import Struct

from podium.gateway.routes import JSON_BODY, About
from podium.gateway.samples import samples
from podium.kernel.events import Event, RunToolCalled
from podium.kernel.ids import KINDS

REF = "#/components/schemas/{name}"
PREFIX = "/api/v1"


class _RunToolCalled(Struct, frozen=True, kw_only=True, tag_field="type", tag="run.tool_called"):
    """`RunToolCalled` as it is documented: `input` is whatever JSON the tool was given."""

    task_id: str
    run_id: str
    under: str = ""
    call_id: str
    name: str
    input: Any = None


_EVENTS: Any = Union[tuple(k if k is not RunToolCalled else _RunToolCalled for k in get_args(Event))]  # noqa: UP007


KEY = {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]([ -~]*[!-~])?$"}
_ALSO = {206: "The part that was asked for.", 304: "It has not changed.", 416: "It has no such part."}


class RecordedEvent(Struct, frozen=True, kw_only=True):
    """One fact in the log. `v` is the version of its shape; readers tolerate members they do not know."""

    seq: int
    at: datetime
    by: str
    v: int
    event: _EVENTS


class Events(Struct, frozen=True, kw_only=True):
    """`cursor` stands behind the last of them; at the end of the log it does not move."""

    events: tuple[RecordedEvent, ...]
    cursor: str


class ErrorBody(Struct, frozen=True, kw_only=True):
    code: str
    message: str
    hint: str
    details: dict[str, Any]


class ErrorAnswer(Struct, frozen=True, kw_only=True):
    """Every failure. `code` is stable, `message` is for people, `hint` says what to do next."""

    error: ErrorBody


@lru_cache(maxsize=2)
def document(app: Litestar, version: str) -> bytes:
    """OpenAPI 3.1 as JSON; made once."""
    routes = list(_routes(app))
    types: list[Any] = [ErrorAnswer]
    for _path, _method, about in routes:
        types += [kind for kind in (about.body, about.answer) if kind not in (None, dict)]
    schemas, components = msgspec.json.schema_components(types, ref_template=REF)
    for name, sample in samples().items():
        components[name]["examples"] = [sample]
    by_type = {repr(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for path, method, about in routes:
        paths.setdefault(path, {})[method] = _operation(path, method, about, by_type)
    whole = {
        "openapi": "3.1.0",
        "info": {"title": "Podium", "version": version},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}],
    }
    return msgspec.json.encode(whole)


def _routes(app: Litestar) -> Iterator[tuple[str, str, About]]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for method, (handler, _) in route.route_handler_map.items():
                about = handler.opt.get("about")
                if isinstance(about, About):
                    yield route.path_format, method.lower(), about


def _operation(path: str, method: str, about: About, schemas: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {about.gives: {}}
    if about.answer is not None:
        content = {JSON_BODY: {"schema": schemas.get(repr(about.answer), {"type": "object"})}}
    failure = {"description": "Refused or failed.", "content": {JSON_BODY: {"schema": _schema_of_error()}}}
    operation: dict[str, Any] = {
        "operationId": _name(path, method),
        "summary": about.says,
        "parameters": list(_parameters(path, about)),
        "responses": {str(about.status): {"description": "Done.", "content": content}, "default": failure},
    }
    for status in about.also:
        operation["responses"][str(status)] = {"description": _ALSO[status]}
    if method == "head":
        operation["responses"][str(about.status)].pop("content")
    if about.body is not None:
        required = any(field.required for field in msgspec.structs.fields(about.body))
        body = {JSON_BODY: {"schema": schemas[repr(about.body)]}}
        operation["requestBody"] = {"required": required, "content": body}
    elif about.takes is not None:
        operation["requestBody"] = {"required": True, "content": {about.takes: {}}}
    if about.is_open:
        operation["security"] = []
    return operation


def _parameters(path: str, about: About) -> Iterator[dict[str, Any]]:
    if "{id}" in path:
        kind = _kind_of(path.removeprefix(PREFIX).split("/")[1])
        yield {"name": "id", "in": "path", "required": True, "schema": _id_schema(kind)}
    schema = msgspec.json.schema(about.query)
    properties = schema["$defs"][about.query.__name__].get("properties", {})
    for field in msgspec.structs.fields(about.query):
        yield {
            "name": field.name,
            "in": "query",
            "required": field.required,
            "schema": _place_schema(path)
            if field.name in {"after", "before"}
            else _inlined(properties[field.name], schema["$defs"]),
        }
    if about.changes:
        yield {"name": "Idempotency-Key", "in": "header", "required": False, "schema": KEY}


def _kind_of(plural: str) -> str:
    return {"inquiries": "inquiry"}.get(plural, plural.removesuffix("s"))


def _place_schema(path: str) -> dict[str, Any]:
    """Of `after` and `before`: the last of the page before, or a place in the log."""
    words = path.removeprefix(PREFIX).strip("/").split("/")
    if words[0] == "events":
        return {"type": "string", "pattern": "^[a-z2-7]{20}$"}
    return _id_schema(_kind_of(words[-1]) if words[-1] != "projects" else "project_id")


def _id_schema(kind: str) -> dict[str, Any]:
    if kind == "artifact":
        return {"type": "string", "pattern": "^artifact_[0-9a-f]{64}$"}
    if kind == "project_id" or kind in KINDS - {"project"}:
        kind = kind.removesuffix("_id")
        return {"type": "string", "pattern": f"^{kind}_[0-9a-hjkmnp-tv-z]{{26}}$"}
    if kind == "agent":
        return {"type": "string", "minLength": 1, "maxLength": 100, "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$"}
    return {"type": "string", "minLength": 1, "maxLength": 100}  # a project goes by its name, too


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """Without references to `definitions`, which stand nowhere in the document."""
    if isinstance(schema, list):
        return [_inlined(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {name: _inlined(part, definitions) for name, part in schema.items()}


def _schema_of_error() -> dict[str, str]:
    return {"$ref": REF.format(name=ErrorAnswer.__name__)}


def _name(path: str, method: str) -> str:
    words = [word.strip("{}").replace(".", "_") for word in path.removeprefix(PREFIX).split("/") if word]
    return "_".join([method, *words])
