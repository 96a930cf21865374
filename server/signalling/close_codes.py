"""The codes that a socket is closed with. docs/protocol.md says after which of them a page connects again."""

from __future__ import annotations

# RFC 6455 §7.4.1
NORMAL = 1000
GOING_AWAY = 1001  # from a browser whose page is being closed or loaded again: nobody can know which
LOST = 1006  # never sent: the connection ended without a close
POLICY_VIOLATION = 1008
TOO_BIG = 1009
INTERNAL_ERROR = 1011
RESTART = 1012
TOO_SLOW = 1013  # the browser reads too slowly, or the server is full

# Calln's own
MALFORMED = 4400
PASSWORD_REQUIRED = 4401
BANNED = 4403
WRONG_SUBPROTOCOL = 4406
SILENT = 4408
REPLACED = 4409  # the same page has connected again
LOADING = 4410  # the same, said by the page itself
TOO_MANY = 4429
