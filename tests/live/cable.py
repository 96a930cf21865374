"""A network cable between browsers and the server that can be pulled out: connections die without a word."""

from __future__ import annotations

import asyncio
import socket
import struct

RESET = struct.pack("ii", 1, 0)  # SO_LINGER of no seconds: close sends RST, so nobody hears a close frame
PIECE = 65536


class Cable:
    """Listens at a port of its own and passes everything on to the server's."""

    def __init__(self, port: int) -> None:
        self.port = port  # the server's; known once it runs
        self.rate = 0  # bytes a second of each direction; 0: no limit
        self.swallows = False
        self.writers: set[asyncio.StreamWriter] = set()
        self.listener: asyncio.Server | None = None

    async def plug(self, at: int) -> None:
        self.listener = await asyncio.start_server(self.carry, "127.0.0.1", at)

    async def pull(self) -> None:
        """Cut what runs through it, and let nothing new through."""
        assert self.listener is not None
        self.listener.close()
        for writer in self.writers:
            cut(writer)
        await self.listener.wait_closed()

    def swallow(self) -> None:
        """From now on nothing arrives, and nobody is told: what was under way stays lost."""
        self.swallows = True

    def let_through(self) -> None:
        """What is sent on new connections arrives again."""
        self.swallows = False

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.listener is None or not self.listener.is_serving():
            writer.transport.abort()  # it was accepted just before the cable was pulled
            return
        ends = {writer}
        self.writers |= ends
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.port)
            ends.add(far_writer)
            self.writers.add(far_writer)
            if not writer.is_closing():
                await asyncio.gather(self.copy(reader, far_writer), self.copy(far_reader, writer))
        except OSError:
            pass  # the cable was pulled, or one side went without a word
        finally:
            self.writers -= ends
            for end in ends:
                end.transport.abort()

    async def copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_dead = False
        while piece := await reader.read(PIECE):
            is_dead |= self.swallows
            if is_dead:
                continue
            if self.rate:
                await asyncio.sleep(len(piece) / self.rate)
            writer.write(piece)
            await writer.drain()
        writer.write_eof()


def cut(writer: asyncio.StreamWriter) -> None:
    """Its other end hears of it; one that is closing already may have no socket any more."""
    if writer.is_closing():
        return
    wire = writer.get_extra_info("socket")
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
