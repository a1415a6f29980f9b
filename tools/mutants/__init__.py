"""Mutants of the engine: how they are made and judged (``tools/mutate.py``)."""
