"""Messages of QEMU and its managers about failed migrations and starts, by release.

The messages are data in ``messages/*.toml``. They are used in two directions:

* :func:`text` renders a message in a release's wording; :func:`failure` puts lines together.
* :func:`.recognise.recognise` finds the messages in a line of a log; a prediction does not import
  it.
"""

from __future__ import annotations

from migratable.messages.catalogue import (
    Fault,
    Message,
    Role,
    Text,
    chained,
    message,
    messages,
    text,
)
from migratable.messages.render import failure, strerror

__all__ = [
    "Fault",
    "Message",
    "Role",
    "Text",
    "chained",
    "failure",
    "message",
    "messages",
    "strerror",
    "text",
]
