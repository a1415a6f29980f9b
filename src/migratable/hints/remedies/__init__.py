"""Remedies: one module a rule, found by its name."""
