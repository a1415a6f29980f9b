"""One file a rule; see :mod:`migratable.check.registry`."""
