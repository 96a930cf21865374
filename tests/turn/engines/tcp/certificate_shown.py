"""Which certificate a newcomer is shown."""

from __future__ import annotations

import asyncio
import ssl

from turn.flows import Address


async def shown(there: Address) -> bytes | None:
    """The certificate that a newcomer is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection(there.host, there.port, ssl=context)
    der: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return der
