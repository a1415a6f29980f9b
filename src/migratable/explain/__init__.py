"""From a log to failures: what broke, on which side, and what to do (``migratable explain``)."""
