"""Replay equal VMs once: record the bytes that decide a replay, and recognise equal ones."""
