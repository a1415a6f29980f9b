"""The reference page of messages is made from the catalogue."""

from __future__ import annotations

from migratable.messages.catalogue import messages
from tools import write_messages


def test_every_message_is_on_the_page() -> None:
    text = write_messages.page()
    printed = [message for message in messages() if message.program != "derived"]
    missing = [message.id for message in printed if message.id not in text]
    assert missing == []
