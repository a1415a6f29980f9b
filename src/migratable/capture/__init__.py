"""The device state of a source: from a file, a profile, or a running VM."""
