"""The report of ``migratable explain`` as one HTML page without external parts."""

from __future__ import annotations

import re

from jinja2 import Environment, PackageLoader

from migratable import __version__
from migratable.explain.explanation import Report
from migratable.messages.catalogue import origins
from migratable.report.explain_text import side_of

LABELS = {
    "explained": "Failed",
    "warning": "Warning only",
    "symptom": "Failed; another log holds the cause",
    "unknown": "Failed; the cause is unknown",
}


# Forms of a reference and their pages; the first that matches all of it counts.
_PAGES = (
    (re.compile(r"https?://\S+"), "{0}"),
    (re.compile(r"QEMU issue (\d+)"), "https://gitlab.com/qemu-project/qemu/-/issues/{1}"),
    (re.compile(r"QEMU ([0-9a-f]{7,40})"), "https://gitlab.com/qemu-project/qemu/-/commit/{1}"),
    (re.compile(r"QEMU list (\d\S*)"), "https://lore.kernel.org/qemu-devel/?q={1}"),
    (re.compile(r"Linux ([0-9a-f]{7,40})"), "https://git.kernel.org/torvalds/c/{1}"),
    (re.compile(r"libvirt issue (\d+)"), "https://gitlab.com/libvirt/libvirt/-/issues/{1}"),
    (re.compile(r"(?:RHBZ|bugzilla) ?#?(\d+)"), "https://bugzilla.redhat.com/{1}"),
    (re.compile(r"(RHEL-\d+)"), "https://issues.redhat.com/browse/{1}"),
    (re.compile(r"RH KB (\d+)"), "https://access.redhat.com/solutions/{1}"),
    (re.compile(r"LP #?(\d+)"), "https://bugs.launchpad.net/bugs/{1}"),
    (re.compile(r"Debian #?(\d+)"), "https://bugs.debian.org/{1}"),
    (re.compile(r"suse KB (\d+)"), "https://support.scc.suse.com/s/kb/{1}"),
    (re.compile(r"([\w.-]+/[\w.-]+)#(\d+)"), "https://github.com/{1}/issues/{2}"),
    (re.compile(r"(CVE-\d{4}-\d+)"), "https://www.cve.org/CVERecord?id={1}"),
)


def page_of(reference: str) -> str:
    """The address of what a reference names, "" when it names no page.

    Only a reference of the catalogue is ever given here; the log's own text makes no link.
    """
    for pattern, address in _PAGES:
        match = pattern.fullmatch(reference.strip())
        if match:
            return address.format(match[0], *match.groups())
    return ""


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
        page_of=page_of,
        origins=origins(),
        report=report,
        name=name,
        labels=LABELS,
        side_of=side_of,
        version=__version__,
    )
