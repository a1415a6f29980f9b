"""Where a source's device state comes from: a file, a profile, or a VM that is running now."""
