"""The report of ``migratable explain`` as one HTML page without outside parts."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader

from migratable import __version__
from migratable.explain.story import Report
from migratable.report.explain_text import SIDES

LABELS = {
    "explained": "Failed",
    "warning": "Warning only",
    "symptom": "Failed; the cause stands in another log",
    "unknown": "Failed; the cause is unknown",
}


def render(report: Report, *, name: str) -> str:
    """The page, with every text from the log escaped."""
    environment = Environment(
        loader=PackageLoader("migratable.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("explain.html.j2")
    return template.render(
        report=report, name=name, labels=LABELS, sides=SIDES, version=__version__
    )
