"""The shortest chain of hosts over which a VM reaches a destination (``migratable route``)."""
