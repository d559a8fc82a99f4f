"""A server of one tool over stdio, as little as the protocol allows: `whisper` tells its secret's length."""

from __future__ import annotations

import json
import os
import sys
from typing import Any


def answer(method: str, params: dict[str, Any]) -> dict[str, Any] | None:
    match method:
        case "initialize":
            version = params.get("protocolVersion", "2025-06-18")
            about = {"name": "board", "version": "1"}
            return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about}
        case "tools/list":
            schema = {"type": "object", "properties": {}}
            return {"tools": [{"name": "whisper", "description": "Whisper.", "inputSchema": schema}]}
        case "tools/call":
            secret = os.environ.get("BOARD_TOKEN", "")
            return {"content": [{"type": "text", "text": f"{len(secret)} characters"}]}
    return None


def main() -> None:
    for line in sys.stdin:
        asked = json.loads(line)
        if "id" not in asked:
            continue
        result = answer(asked["method"], asked.get("params") or {})
        end = {"result": result} if result is not None else {"error": {"code": -32601, "message": "no"}}
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **end}), flush=True)


if __name__ == "__main__":
    main()
