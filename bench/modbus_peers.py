"""Two Modbus TCP servers to stand beside the facade: pymodbus, and the least that can answer at all.

"pymodbus": the registers behind its asynchronous server. "canned": one blocking socket that sends the same answer to
whatever comes, with the request's transaction number: the price of the sockets and of the client. Each prints its port
and serves until its input ends. Loopback only.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
import threading

from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

HOST = "127.0.0.1"
REGISTERS = 125


async def serve_pymodbus() -> None:
    """Unit 1 with 125 holding registers from 0."""
    # It would tell of every client that leaves with an answer under way.
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    values = list(range(REGISTERS))
    device = SimDevice(1, simdata=[SimData(0, values=values, datatype=DataType.REGISTERS)])
    server = ModbusTcpServer([device], address=(HOST, 0))
    await server.serve_forever(background=True)
    assert server.transport is not None
    print(server.transport.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.shutdown()


def serve_canned() -> None:
    """One client after the other."""
    body = b"\x01\x03" + bytes([2 * REGISTERS]) + b"".join(value.to_bytes(2, "big") for value in range(REGISTERS))
    rest = b"\x00\x00" + len(body).to_bytes(2, "big") + body
    listener = socket.create_server((HOST, 0))

    def answer() -> None:
        while True:
            client, _ = listener.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while request := client.recv(260):
                client.sendall(request[:2] + rest)

    threading.Thread(target=answer, daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    if sys.argv[1] == "pymodbus":
        asyncio.run(serve_pymodbus())
    else:
        serve_canned()
