"""From a log to failures: the cause, the side at fault, the remedy (``migratable explain``)."""
