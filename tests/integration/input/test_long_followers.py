"""Orchestra dropped every WebSocket client after 40 s, also one that answered its pings."""

from __future__ import annotations

import json

import anyio
import pytest
from websockets.asyncio.client import connect

from tests.integration.gateway.serving import API, serving

pytestmark = pytest.mark.anyio
HEARTBEAT_S = 0.02
BEATS = 40
"""Of 15 s each, the default: ten minutes."""


async def test_orchestra_a_websocket_client_is_still_connected_after_ten_minutes_of_heartbeats(tmp_path):
    async with serving(tmp_path, heartbeat_s=HEARTBEAT_S) as rig:
        headers = {"Authorization": f"Bearer {rig.tokens.owner}"}
        address = rig.url.replace("http", "ws") + API + "/stream"
        async with connect(address, additional_headers=headers, ping_interval=None, proxy=None) as socket:
            await socket.send("{}")
            with anyio.fail_after(20):
                frames = [json.loads(await socket.recv()) for _ in range(BEATS)]
                assert all(not frame.get("events") for frame in frames), frames[:2]
                await rig.say("still there")
                while not (frame := json.loads(await socket.recv())).get("events"):
                    continue
            assert frame["events"][0]["event"]["text"] == "still there"
            assert socket.close_code is None


async def test_a_websocket_client_that_answers_pings_outlives_the_pings_of_the_server(tmp_path):
    """The same failure one floor below: what uvicorn itself sends must not end a client either."""
    async with serving(tmp_path, heartbeat_s=HEARTBEAT_S) as rig:
        rig.server.config.ws_ping_interval = 0.05
        rig.server.config.ws_ping_timeout = 0.5
        headers = {"Authorization": f"Bearer {rig.tokens.owner}"}
        address = rig.url.replace("http", "ws") + API + "/stream"
        async with connect(address, additional_headers=headers, ping_interval=0.05, proxy=None) as socket:
            await socket.send("{}")
            with anyio.fail_after(20):
                for _ in range(BEATS * 2):
                    await socket.recv()
            assert socket.close_code is None
