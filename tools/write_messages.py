#!/usr/bin/env python3
"""Write docs/reference/messages.md from the catalogue of messages; `make docs` does."""

from __future__ import annotations

from pathlib import Path

from migratable.explain import advice
from migratable.explain.cases import cases
from migratable.messages.catalogue import Message, Text, messages, origins
from migratable.messages.setting import said

PAGE = Path(__file__).parents[1] / "docs/reference/messages.md"
TITLES = {
    "loader": "The loader of a stream",
    "ram": "Guest memory",
    "devices": "Devices",
    "protocol": "Commands, postcopy, multifd, channels",
    "source": "Messages of the source",
    "blockers": "Migration blockers",
    "channels": "Channels: multifd, postcopy, RDMA, TLS",
    "internals": "Parts of the state and their helpers",
    "events": "Events of the monitor, crashes, what goes wrong beside it",
    "start": "The destination does not start",
    "start_options": "Options that the destination's QEMU refuses",
    "start_host": "QEMU does not start: the host's KVM, CPUs, memory, devices",
    "start_block": "QEMU does not start: disks, firmware, kernels",
    "start_net": "QEMU does not start: network, displays, sockets",
    "start_more": "QEMU does not start: helpers, files, accelerators",
    "qmp": "QEMU's answers to commands about a running guest",
    "guest_agent": "The guest agent",
    "crashes": "Crashes, and the host's memory, disks and file systems",
    "evidence": "The host's kernel and audit system, backtraces",
    "libvirt": "libvirt",
    "libvirt_definitions": "libvirt: refused definitions",
    "libvirt_guests": "libvirt: guests, their host's daemons and networks, jobs",
    "libvirt_hosts": "libvirt: the host cannot start a guest",
    "libvirt_operations": "libvirt: refused operations",
    "libvirt_moves": "libvirt: refused migrations, saved states and jobs",
    "libvirt_snapshots": "libvirt: refused snapshots, merges and copies of disks, backups",
    "libvirt_start": "libvirt: errors at a start, save or revert",
    "admission": "libvirt and managers: refusals before QEMU",
    "managers": "Managers",
    "proxmox": "Proxmox VE",
    "proxmox_start": "Proxmox VE: guests that do not start",
    "proxmox_storage": "Proxmox VE: storage, replication, HA",
    "proxmox_moves": "Proxmox VE: moves, saves, snapshots",
    "tls": "libvirt: TLS certificates",
    "kubevirt_disks": "KubeVirt: imports, clones, snapshots, restores",
    "storage_tools": "Storage tools: Ceph, open-iscsi, ZFS, LVM; ssh; Proxmox VE's API",
    "copies": "Copies of disks: qemu-img, LVM, Proxmox VE",
    "harvester": "Harvester's webhook, and admission webhooks of Kubernetes",
    "incus": "Incus and LXD: devices, storage, starts",
    "kubevirt": "KubeVirt and Kubernetes",
    "openstack_api": "OpenStack: scheduling, states, ports, volumes",
    "ovirt": "oVirt",
    "ovirt_moves": "oVirt: moves, snapshots, copies of disks",
    "ovirt_events": "oVirt: events and refusals of its engine; vdsm",
    "ovirt_engine": "oVirt: refusals of the engine",
    "other_managers": "CloudStack, Ganeti, OpenNebula, Harvester, TrueNAS, XCP-ng and others",
    "excerpts": "Plain words around a migration: virsh, nft, Incus, test suites",
    "local_vms": "Multipass, Lima, minikube, Vagrant, Terraform, quickemu, Kata Containers",
    "manager_words": "Plain words: Proxmox VE plugins, LXD, nova over ssh, Pacemaker",
    "vdsm_codes": "oVirt: codes of vdsm and the engine",
    "xapi": "xapi of XCP-ng and XenServer",
    "openstack_states": "OpenStack: states, volumes, ports, releases",
    "openstack_moves": "OpenStack: migrations, resizes, evacuations",
    "manager_moves": "KubeVirt, Harvester, Incus, Ganeti, CloudStack: moves and snapshots",
    "cloudstack_moves": "CloudStack: moves of instances and volumes",
    "manager_setup": "OpenNebula, Incus, LXD, KubeVirt, Ganeti: set-up before QEMU",
    "lxd": "Incus or LXD",
    "openstack": "OpenStack",
    "clouds": "KubeVirt, oVirt, OpenNebula, CloudStack, UTM",
    "refusals": "Refusals and surroundings (libvirt and managers)",
    "around": "Connections, definitions, helpers",
}
HEAD = """\
# Messages

The messages of QEMU 4.1 to 11.1, libvirt and managers of virtual machines about a failed migration
or start. `migratable explain` recognises these texts, and `migratable check` prints QEMU's lines
from them. `tools/write_messages.py` writes this page.

Each text has the releases that print it. "in" names the releases whose source, binary or output
contains the text; the ends of a range between two of them are interpolated. "chained" means that
the text is a link of the one line that begins with `load of migration failed:` (10.2 and later). A
name in braces is a parameter; `:x` prints it in hexadecimal.
"""


def releases(text: Text) -> str:
    """The range of a wording in words."""
    first, last = (
        None if release is None else ".".join(map(str, release))
        for release in (text.first, text.last)
    )
    if first is None and last is None:
        span = "all releases"
    elif last is None:
        span = f"{first} and later"
    elif first is None:
        span = f"to {last}"
    else:
        span = f"{first} to {last}" if first != last else f"{first}"
    found = f"; in {', '.join(text.checked)}" if text.checked else ""
    return f"{span}{found}{'; chained' if text.chained else ''}"


def entry(message: Message) -> str:
    """A message as Markdown."""
    lines = [f"### {message.id}", ""]
    for text in message.texts:
        prefix = f"{message.program}, " if message.program != "QEMU" else ""
        span = releases(text) if message.program == "QEMU" else ""
        where = (prefix + span).strip(", ")
        lines.append(f"    {text.template.text}")
        lines += ["", f"{where}.", ""] if where else [""]
    if message.also:
        lines += ["Also:", ""]
        lines += [*(f"    {text.template.text}" for text in message.also), ""]
    fault = f"At fault: {advice.of_message(message).side}. " if message.role == "cause" else ""
    rule = f"Rule `{message.rule}`. " if message.rule else ""
    lines.append(f"{said(message.meaning)} {fault}{rule}".strip())
    if message.now:
        lines += ["", f"What to do: {said(message.now)}"]
    known = origins().get(message.id, {})
    if known.get("origin"):
        lines += ["", f"Source: {'; '.join(f'`{place}`' for place in known['origin'])}."]
    if known.get("reported"):
        lines += ["", "In none of the sources read (public reports, old releases, builds):", ""]
        lines += [f"    {text}" for text in known["reported"]]
    if message.references:
        lines += ["", f"See {', '.join(message.references)}."]
    return "\n".join(lines) + "\n"


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    group = ""
    for message in messages():
        if message.program == "derived":
            continue
        if message.group != group:
            group = message.group
            parts.append(f"## {TITLES[group]}\n")
        parts.append(entry(message))
    parts.append("## Public cases\n")
    for case in cases():
        seen = f" Seen: {case.releases}." if case.releases else ""
        see = f" See {', '.join(case.references)}." if case.references else ""
        parts.append(
            f"### {case.title}\n\n`{case.id}`, {case.certainty}. {case.explanation}{seen}{see}\n"
        )
    return "\n".join(parts)


def write(path: Path = PAGE) -> None:
    """Write the page; the documentation is built from it, and it is not kept in the repository."""
    path.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    write()
