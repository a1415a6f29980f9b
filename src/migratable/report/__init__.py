"""Verdicts and results as text, HTML pages and JUnit."""
