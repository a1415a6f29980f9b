"""What QEMU prints when an incoming migration fails, by release, and what it means.

Knowledge is data: ``messages/*.toml`` (what is printed) and ``cases/*.toml`` (public faults with
the releases that have them). Two directions share it:

* :func:`text` renders a message in a release's wording; :func:`failure` puts lines together.
* :func:`.recognise.recognise` finds the messages in a line of a log; who only predicts imports none
  of that.
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
