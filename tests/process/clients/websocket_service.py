"""A WebSocket service that says again what it hears. Prints its port, and serves until its input ends."""

import asyncio
import sys

import websockets


async def echo(socket):
    await socket.send(f"{socket.path} {socket.request_headers.get('x-forwarded-proto')}")
    async for message in socket:
        if message == "close":
            return await socket.close(4001, "as you wish")
        else:
            await socket.send(message)


async def main():
    async with websockets.serve(echo, "127.0.0.1", 0, subprotocols=["chat"], max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
