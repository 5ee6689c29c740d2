"""Talks to websocket_service.py through a door: websocket_client.py ws://ADDRESS | wss://door.test ADDRESS CA."""

import asyncio
import ssl
import sys

import websockets


def equal(got, expected):
    assert got == expected, f"{got[:80]!r} is not {expected[:80]!r}"


async def main():
    url, options, proto = sys.argv[1], {}, "http"
    if len(sys.argv) > 3:
        host, port = sys.argv[2].rsplit(":", 1)
        options = {"ssl": ssl.create_default_context(cafile=sys.argv[3]), "server_hostname": "door.test"}
        options |= {"host": host, "port": int(port)}
        proto = "https"
    async with websockets.connect(f"{url}/chat?room=1", subprotocols=["chat"], max_size=None, **options) as socket:
        equal(socket.subprotocol, "chat")
        equal(await socket.recv(), f"/chat?room=1 {proto}")
        for message in ["hello", "", "käse", b"\x00\xff", bytes(range(256)) * 16384, "x" * 70000]:
            await socket.send(message)
            equal(await socket.recv(), message)
        await asyncio.wait_for(await socket.ping(), 10)
        # Many under way at once, in both directions.
        await asyncio.gather(*(socket.send(str(number)) for number in range(1000)))
        equal([await socket.recv() for _ in range(1000)], [str(number) for number in range(1000)])
        await socket.send("close")
        await asyncio.wait_for(socket.wait_closed(), 10)
        equal((socket.close_code, socket.close_reason), (4001, "as you wish"))


asyncio.run(asyncio.wait_for(main(), 50))
