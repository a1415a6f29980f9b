#!/usr/bin/env python3
"""Find the source of every text of the catalogue: file and function, by program and release.

``message_origins.py QEMU:10.0=/path/to/qemu-10.0.13 libvirt:11.3=/path/to/libvirt Proxmox=/path …``

Each argument is a program, a release (none for one that has a single tree here), and a source tree
in C, C++, Perl, Python, Go or Java. ``--write`` writes ``src/migratable/messages/origins.toml``; a
text that is in none of the trees is printed, and stands in that file as reported only. ``--merge``
leaves what the file says of messages of programs without a tree here. With
``--binary QEMU:11.1=FILE…`` the texts of a program of which no source is at hand are found in it.
"""

from __future__ import annotations

import bisect
import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from migratable.explain.logs import pieces as pieces_of
from migratable.messages.catalogue import Text, messages
from migratable.messages.template import Template

TESTS = Path(__file__).resolve().parents[1] / "tests/explain"
OUT = Path(__file__).resolve().parents[1] / "src/migratable/messages/origins.toml"
SUFFIXES = {
    ".c": "c", ".h": "c", ".inc": "c", ".cpp": "c", ".cc": "c", ".json": "c",
    ".properties": "java", ".pm": "perl", ".pl": "perl",
    ".py": "python", ".go": "go", ".java": "java", ".rb": "ruby", ".swift": "swift",
}  # fmt: skip
SKIPPED = re.compile(
    r"/(?:tests?|po|roms|docs|\.git|linux-headers|contrib|pc-bios|vendor)/|_test\.go$"
)
# Names of manager projects in the catalogue, and the trees that may print their texts.
OTHERS = {
    "Proxmox VE": ("Proxmox",), "Incus or LXD": ("Incus", "LXD"), "Incus": ("Incus", "LXD"),
    "LXD": ("LXD", "Incus"), "oVirt": ("oVirt",), "manager": (), "SPICE": ("SPICE", "QEMU"),
    "Linux": (), "CloudStack": (), "Kata Containers": (), "Kubernetes": ("KubeVirt",),
    "ZFS": ("Proxmox",), "Ceph": ("Proxmox",), "DRBD": (), "sanlock": (), "XCP-ng": (),
}  # fmt: skip
FUNCTIONS = {
    "c": r"^(?!(?:if|while|for|switch|else|do|return|typedef)\b)"
    r"(?:[A-Za-z_][^;{}()=\n]*?\b)?([A-Za-z_]\w*)"
    r"\s*\((?:[^;{}()]|\([^;{}()]*\))*\)\s*\n?(?:\s*[A-Z_]+\([^)]*\)\s*\n)?\{",
    "perl": r"^\s*(?:sub ([\w:]+)|(?:__PACKAGE__|my \$\w+ = sub)()\b)",
    "python": r"^(?:    |)(?:def|class) (\w+)",
    "go": r"^func (?:\([^)]*\) )?(\w+)",
    "ruby": r"^\s*def (?:self\.)?(\w+[?!]?)",
    "swift": r"^\s*(?:\w+ )*func (\w+)|^\s*(?:\w+ )*var (errorDescription)\b",
    "java": r"^ {4}(?:(?:public|private|protected|static|final|synchronized)\s+)+"
    r"[\w<>\[\], .?]*?(\w+)\s*\(",
}  # fmt: skip
_JOIN = {
    "c": r'"\s*\\?\n?\s*"',
    "perl": r"\"\s*\n?\s*\.\s*\n?\s*\"|'\s*\n?\s*\.\s*\n?\s*\"|\"\s*\n?\s*\.\s*\n?\s*'",
    "python": r"(?<![\"'])(?:\"\s*\n\s*[fr]?\"|'\s*\n\s*[fr]?'|\"\s*\n\s*'|'\s*\n\s*\")(?![\"'])",
    "ruby": r'" ?\\\n\s*"', "swift": r'"\s*\+\s*\n?\s*"',
    "go": r'"\s*\+\s*\n?\s*"', "java": r'"\s*\n?\s*\+\s*\n?\s*"',
}  # fmt: skip
_VALUE = {
    "c": r'(?:0x)?%[-#0-9]*"\s*PRI[a-zA-Z0-9]+\s*(?:"|(?=[,)]))'
    r'|(?:0x)?"\s*(?:[A-Z][A-Za-z0-9_]*|PRI[a-zA-Z0-9]+)\s*(?:"|(?=[,)]))'
    r"|(?:0x)?%(?:\d+\$)?[-+ #0]*(?:\d+|\*)?(?:\.(?:\d+|\*))?(?:hh|h|ll|l|z|j|t)?[a-zA-Z]",
    "perl": r"\$\{?\w+(?:->)?(?:[{\[][^}\]]*[}\]]|->\w+)*\}?|\$[!@]|'\s*\.\s*[^'\";]+?\.\s*'|%[sd]",
    "python": r"%\(\w+\)[sdrx]|%[sdrx]|\{[^{}\"'\n]*\}",
    "go": r"%[-+#0-9.]*[a-zA-Z]|\"\s*\+\s*[\w.()]+\s*\+\s*\"",
    "ruby": r"#\{[^}]*\}|%[sd]",
    "swift": r"\\\([^)]*\)|%@|%[dsx]",
    "java": r"%[-+#0-9.]*[a-zA-Z]|\"\s*\n?\s*\+\s*[^\";]+?\+\s*\n?\s*\"|\{\}"
    r"|\$\{\w+\}",
}  # fmt: skip


@dataclass(slots=True)
class Source:
    """A file, flattened: every value is NUL, strings in pieces are whole."""

    name: str
    text: str
    at: list[int]
    back: list[int]
    functions: list[tuple[int, str]] = field(default_factory=list)

    def function(self, position: int) -> str:
        """The function around a position of the flattened text, "" outside of one."""
        original = self.back[bisect.bisect_right(self.at, position) - 1]
        original += position - self.at[bisect.bisect_right(self.at, position) - 1]
        number = bisect.bisect_right(self.functions, (original, "\uffff")) - 1
        return self.functions[number][1] if number >= 0 else ""


def flattened(name: str, raw: str, language: str) -> Source:
    """One pass over a source file."""
    pattern = re.compile(
        rf"(?P<join>{_JOIN[language]})|(?P<value>{_VALUE[language]})|(?P<quote>\\[\"':])", re.M
    )
    pieces: list[str] = []
    at, back = [0], [0]
    length = last = 0
    for hit in pattern.finditer(raw):
        pieces.append(raw[last : hit.start()])
        length += hit.start() - last
        new = "" if hit["join"] is not None else "\0" if hit["value"] is not None else hit[0][1]
        pieces.append(new)
        length += len(new)
        last = hit.end()
        at.append(length)
        back.append(last)
    pieces.append(raw[last:])
    functions = [
        (hit.start(), next((name for name in hit.groups() if name), ""))
        for hit in re.finditer(FUNCTIONS[language], raw, re.M)
    ]
    return Source(name=name, text="".join(pieces), at=at, back=back, functions=functions)


def sources(tree: Path) -> Iterator[Source]:
    """The source files of a tree."""
    for path in sorted(tree.rglob("*")):
        language = SUFFIXES.get(path.suffix)
        name = str(path.relative_to(tree))
        if language is None or SKIPPED.search(f"/{name}") or not path.is_file():
            continue
        if path.stat().st_size < 4 << 20:
            yield flattened(name, path.read_text(errors="replace"), language)


def pieces(text: Text) -> list[str]:
    """The fixed parts of a wording as they stand in a source, in order."""
    parts = list(text.template.parts)
    fixed: list[str] = []
    for number, part in enumerate(parts):
        if not isinstance(part, str):
            fixed.append("")
            continue
        words = part.removeprefix("warning: ") if number == 0 else part
        words = re.sub(r"0x$", "", words)
        # error_setg_errno() and error_prepend() add these behind or before the source's own text.
        words = _ERRNO.sub("", words)
        fixed.append(words)
    if len(parts) > 1 and not isinstance(parts[-1], str) and fixed[-2].endswith(": "):
        fixed = [*fixed[:-2], fixed[-2].removesuffix(": ")]
    if fixed:
        fixed[0] = _CLASSES.sub("", fixed[0])
    return fixed


_ERRNO = re.compile(
    r":(?: :)? (?:Invalid argument|No such file or directory|Broken pipe|Input/output error|"
    r"Connection reset by peer|Address already in use|Permission denied)$"
)
# What libvirt puts before a text by its class (src/util/virerror.c: virErrorMsg), Proxmox by its
# level, and programs by their name.
_CLASSES = re.compile(
    r"^(?:(?:operation failed|operation aborted|internal error|unsupported configuration|"
    r"Requested operation is not valid|Timed out during operation|argument unsupported|"
    r"Domain not found|Network not found|authentication failed|authentication unavailable|"
    r"the CPU is incompatible with host CPU|ERROR|error|usb-redir warning|start failed): )+"
)
# Texts that are put together, and the function that does it.
COMPOSED = (
    (
        r"^(?:The host \{host\} did not satisfy|Candidate host|VM \{vm\} is|has been paused"
        r"|is down with)",
        "oVirt|2026-08|frontend/webadmin/modules/frontend/src/main/resources/org/ovirt/engine/ui/"
        "frontend/AppErrors.properties: SCHEDULING_HOST_FILTERED_REASON_WITH_DETAIL",
    ),
    (
        r"^[A-Z]+(?:_[A-Z]+){1,6}$(?<!_VDS)(?<!_FAILED)",
        "xapi|2026-08|ocaml/xapi-consts/api_errors.ml",
    ),
    (
        r"^(?:Multi-Attach error|AttachVolume|MountVolume|MapVolume|Unable to attach or mount)",
        "Kubernetes||pkg/volume/util/operationexecutor/operation_generator.go",
    ),
    (r"nodes are available: .*Insufficient", "Kubernetes||pkg/scheduler/framework/types.go"),
    (r"^node\(s\) (?:had|were)", "Kubernetes||pkg/scheduler/framework/plugins/tainttoleration"),
    (
        r"volume node affinity conflict|PersistentVolume's node|unbound immediate Pers",
        "Kubernetes||pkg/scheduler/framework/plugins/volumebinding/binder.go",
    ),
    (r"disruption budget", "Kubernetes||pkg/registry/core/pod/storage/eviction.go"),
    (
        r"^violates PodSecurity",
        "Kubernetes||staging/src/k8s.io/pod-security-admission/admission/admission.go",
    ),
    (
        r"^cannot (?:open|import|receive|create) ",
        "OpenZFS||lib/libzfs/libzfs_sendrecv.c, libzfs_dataset.c",
    ),
    (
        r"^rbd: |^RBD image feature|couldn't connect to the cluster|unable to get monitor info"
        r"|^error connecting",
        "Ceph||src/tools/rbd, src/mon/MonClient.cc",
    ),
    (r"^error reading header from", "QEMU|10.0|block/rbd.c: qemu_rbd_open"),
    (r"^State change failed: ", "DRBD||user/v84/drbdsetup.c"),
    (
        r"Lease is held by another host",
        "libvirt|11.3|src/locking/lock_driver_sanlock.c: virLockManagerSanlockAcquire",
    ),
    (
        r"^Unable to create a deployment|^Unable to prepare for migration|^Migration was unsucc"
        r"|^Failed to migrate VM \[VM inst|^Resource \[Host",
        "CloudStack||engine/orchestration/src/main/java/com/cloud/vm/VirtualMachineManagerImpl.java",
    ),
    (
        r"^Commands .* to Host",
        "CloudStack||api/src/main/java/com/cloud/exception/OperationTimedoutException.java",
    ),
    (
        r"^Failed to connect physical disks",
        "CloudStack|00d8a13a|plugins/hypervisors/kvm/src/main/java/com/cloud/hypervisor/kvm/resource/"
        "wrapper/LibvirtStartCommandWrapper.java",
    ),
    (
        r"^Cannot migrate VM, destination host",
        "CloudStack||server/src/main/java/com/cloud/vm/UserVmManagerImpl.java",
    ),
    (
        r"^(?:Volume (?:path|device)|Fibre Channel volume device|iSCSI volume) not found",
        "os-brick||os_brick/exception.py",
    ),
    (r"^Failed to bind port", "neutron||neutron/plugins/ml2/managers.py: _bind_port_level"),
    (r"^Could not create domain from", "OpenNebula|2026-08|src/vmm_mad/remotes/kvm/deploy"),
    (r"^Error executing image transfer", "OpenNebula|2026-08|src/tm/TransferManagerProtocol.cc"),
    (r"^VM_MIGRATE_FAILED", "xapi|2026-08|ocaml/xapi-consts/api_errors.ml"),
    (
        r"^Migration failed(?: due to .*)? \(VM: ",
        "oVirt|2026-08|backend/manager/modules/dal/src/main/resources/bundles/"
        "AuditLogMessages.properties: VM_MIGRATION_FAILED",
    ),
    (
        r"^Storage domain does not exist",
        "oVirt|2026-08|lib/vdsm/storage/exception.py: StorageDomainDoesNotExist",
    ),
    (
        r"^unable to find configuration file for VM",
        "Proxmox|2026-08|proxmox+qemu-server/src/PVE/QemuConfig.pm: assert_config_exists_on_node",
    ),
    (
        r"got timeout$",
        "Proxmox|2026-08|proxmox+pve-common/src/PVE/Tools.pm: lock_file_full, run_with_timeout",
    ),
    (r"^error during cfs-locked", "Proxmox||pve-cluster, PVE::Cluster of older releases"),
    (
        r"^no IP found on migration0",
        "KubeVirt|2026-08|pkg/virt-handler/migration.go: FindMigrationIP",
    ),
    (r"^server error\. command", "KubeVirt|2026-08|pkg/virt-handler/cmd-client/errors.go"),
    (r"kubevirt\.io/kvm$", "Kubernetes||pkg/scheduler/framework/plugins/noderesources/fit.go"),
    (r"^start failed: command ", "Proxmox|2026-08|proxmox+pve-common/src/PVE/Cmd.pm: run_command"),
    (r"^Failed to start device .*Failed", "Incus|2026-08|internal/server/device/tpm.go"),
    (r"^ovs-vsctl: no bridge|database connection failed", "Open vSwitch||utilities/ovs-vsctl.c"),
    (r"^Volume group \"\{", "LVM||lib/metadata/lv_manip.c: _allocate"),
    (
        r"[Ff]ailed to load [\w{}-]+:[\w{}-]+$",
        "QEMU|10.0|migration/vmstate.c: vmstate_load_state",
    ),
    (r": -.*\{option|: -\{option", "QEMU|10.0|util/error-report.c: print_loc"),
    (r"^starting up", "libvirt|11.3|src/qemu/qemu_process.c: qemuLogOperation"),
    (r"^shutting down", "libvirt|11.3|src/qemu/qemu_process.c: qemuProcessStop"),
    (
        r"job '?\{?[\w ]*\}?'? ?(?:unexpectedly )?failed|job: (?:unexpectedly failed|is not active)"
        r"|migration out(?: job)?: canceled by client",
        "libvirt|11.3|src/qemu/qemu_migration.c: qemuMigrationJobCheckStatus",
    ),
    (r"Permission denied \(publickey", "ssh||sshconnect2.c: userauth"),
    (r"due to failed migration\. vmim", "Harvester||package/upgrade/upgrade_node.sh"),
    (
        r"guest CPU is not compatible with host CPU$",
        "libvirt|0.9|src/qemu/qemu_command.c: qemuBuildCpuArgStr",
    ),
    (r"^VM is locked \(", "Proxmox||pve-guest-common/src/PVE/AbstractConfig.pm: check_lock"),
    (
        r"^Live migration (?:stuck for|is not completed after|abort detected)",
        "KubeVirt|up to 2026|pkg/virt-launcher/virtwrap/live-migration-source.go",
    ),
    (
        r"^Migration option '.*is not supported by (?:target|source)",
        "libvirt|11.3|src/qemu/qemu_migration_params.c: qemuMigrationParamsCheck",
    ),
    (
        r"^Migration of VM \[|^Can't migrate domain \[|^Exception during migrate: "
        r"|^Migration was refused connection|^Provided libvirt destination ip",
        "CloudStack|013e3e9e|plugins/hypervisors/kvm/src/main/java/com/cloud/hypervisor/kvm/resource/"
        "wrapper/LibvirtMigrateCommandWrapper.java",
    ),
    (
        r"Setting the stateblob \(type",
        "QEMU|10.0|backends/tpm/tpm_emulator.c: tpm_emulator_set_state_blob",
    ),
    (r"^Error migrating VM|^Cannot rsync files", "OpenNebula||src/vmm_mad/remotes/kvm/migrate"),
    (r"^Could not migrate \{domain", "OpenNebula||src/vmm_mad/remotes/kvm/migrate_local"),
    (r"^undefined method ", "Ruby||error.c: NoMethodError, of OpenNebula's driver"),
    (r"^failed to initialize (?:kvm|KVM): ", "QEMU|10.0|system/vl.c: do_configure_accelerator"),
    (r"^No Nested KVM-HV support", "QEMU|5.2|hw/ppc/spapr_caps.c: cap_nested_kvm_hv_apply"),
    (r"^Requested count cache flush", "QEMU|10.0|hw/ppc/spapr_caps.c: cap_ccf_assist_apply"),
    (
        r"^Timed out waiting for a reply to message ID",
        "oslo.messaging||oslo_messaging/_drivers/amqpdriver.py: _raise_timeout_exception",
    ),
    (r"^usbredirparser: error", "libusbredirparser||usbredirparser/usbredirparser.c"),
    (r"^0/\{count", "Kubernetes||pkg/scheduler/framework/types.go"),
    (
        r"didn't match Pod's node affinity",
        "Kubernetes||pkg/scheduler/framework/plugins/nodeaffinity/node_affinity.go",
    ),
    (
        r"^device model: spawn failed",
        "Xen||tools/libs/light/libxl_dm.c: device_model_spawn_outcome",
    ),
    (r"^Device Model already exited", "Xen||tools/libs/light/libxl_aoutils.c: libxl__kill_xs_path"),
    (
        r"^unable to execute QEMU command",
        "libvirt|11.3|src/qemu/qemu_monitor_json.c: qemuMonitorJSONCheckErrorFull",
    ),
    (r"^(?:malloc|free|realloc|munmap_chunk)\(\)|^double free or", "glibc||malloc/malloc.c"),
    (r"stack smashing detected", "glibc||debug/stack_chk_fail.c: __stack_chk_fail"),
    (r"\]: segfault at", "Linux||arch/x86/mm/fault.c: show_signal_msg"),
    (r"^Killed process", "Linux||mm/oom_kill.c: __oom_kill_process"),
    (r"Assertion `\{condition", "glibc||assert/assert.c: __assert_fail_base"),
)
_ANY = r"[^\"\n]{0,80}?"
_ASSERTION = re.compile(r"Assertion `(.*)' failed")


def needle(text: Text) -> re.Pattern[str]:
    """The literal parts of a wording in order, with a value or a few words between them."""
    fixed = pieces(text)
    joined = "".join(re.escape(part) if part else _ANY for part in fixed)
    joined = re.sub(r"(?:\\ )+", r"\\s+", joined)
    joined = re.sub(r":(?:\\s\+)?$", "", joined)
    # Go's %q brings the quotation marks itself.
    joined = joined.replace(rf'"{_ANY}', rf'"?{_ANY}').replace(rf'{_ANY}"', rf'{_ANY}"?')
    joined = re.sub(r"^([a-z_0-9]{8,}):\\s\+", lambda m: rf"(?:(?:{m[1]}|\x00):\\s+)?", joined)
    first = re.match(r"[A-Za-z]", joined)
    if first:
        joined = f"[{joined[0].lower()}{joined[0].upper()}]{joined[1:]}"
    return re.compile(joined)


def loose(text: Text) -> tuple[str, re.Pattern[str]] | None:
    """A stretch of two words to look for, and the wording with a value for any other word.

    For texts of which a part is a value in the source: ``KVM_%s_DEVICE_ATTR``. None for texts of
    so few words that anything would fit.
    """
    fixed = " ".join(part for part in pieces(text) if part)
    words = re.findall(r"[A-Za-z_]{3,}", fixed)
    pairs = re.findall(r"(?=\b([a-z]{2,} [a-z]{2,} [a-z]{2,})\b)", fixed)
    if len(words) < 4 or not pairs:
        return None
    literal = max(pairs, key=len)
    before, _, after = fixed.partition(literal)

    def side(part: str) -> str:
        found = (rf"(?:{re.escape(item)}|[\"']?\x00\w*[\"']?)" for item in part.split())
        return r"[\s\"']*".join(found)

    joined = rf"{side(before)}[\s\"']*{re.escape(literal)}[\s\"']*{side(after)}"
    return literal, re.compile(joined)


def word(text: Text) -> str:
    """A stretch of fixed text to look for first."""
    parts = [re.sub(r"^([a-z_0-9]{8,}): ", "", part).strip() for part in pieces(text)]
    longest = max(parts, key=len, default="").strip(': "')
    return max(re.split(r"\s{2,}", longest), key=len, default="")[1:]


def main(arguments: list[str]) -> int:
    """Find, print, write."""
    trees: dict[str, list[Tree]] = {}
    binaries: dict[str, list[tuple[str, str]]] = {}
    binary = False
    for argument in arguments:
        if argument.startswith("--"):
            binary = argument == "--binary"
            continue
        head, _, path = argument.partition("=")
        program, _, release = head.partition(":")
        if binary:
            found = re.findall(rb"[\x20-\x7e\n\t]{6,}", Path(path).read_bytes())
            raw = "\n".join(item.decode() for item in found)
            flat = flattened("", raw, "c").text
            binaries.setdefault(program, []).append((release, flat))
        else:
            trees.setdefault(program, []).append(Tree(release, Path(path)))
    lines = [HEAD]
    reports = public_reports()
    old = tomllib.loads(OUT.read_text(encoding="utf-8"))
    missing = 0
    for message in messages():
        if message.program == "derived":
            continue
        programs = OTHERS.get(message.program, (message.program,))
        given = not programs or any(name in trees for name in programs)
        if "--merge" in arguments and message.id in old and not given:
            lines += entry(message.id, old[message.id])
            continue
        origins: list[str] = []
        unseen: list[str] = []
        order = [*programs, *(name for name in trees if name not in programs)]
        for text in message.recognised:
            found = list(
                places(
                    text,
                    trees,
                    order if len(word(text)) > 12 else list(programs),
                    len(programs),
                )
            )
            found += [
                f"{program} {release}".strip() + " (program)"
                for program in programs
                for release, flat in binaries.get(program, ())
                if not found and len(word(text)) > 9 and word(text) in flat
            ]
            if not found and text.checked:  # read when the text was written down
                found = [f"QEMU {', '.join(text.checked)} (program)"]
            origins += found
            if not found:
                unseen.append(text.template.text)
        missing += bool(unseen)
        for wording in unseen:
            print(f"{message.program}: {message.id}: {wording}")
        if "--merge" in arguments and message.id in old:
            # a text of a program whose tree is not given this time
            before = [one for one in old[message.id]["origin"] if _program(one) not in trees]
            unseen = [] if before and not origins else unseen
            origins = [*origins, *before]
        table = {"origin": merged(origins)}
        if unseen:
            table["reported"] = unseen
            known = [ref for wording in unseen if (ref := seen_in(wording, reports))]
            if known:
                table["reports"] = list(dict.fromkeys(known))
        lines += entry(message.id, table)
    if "--write" in arguments:
        OUT.write_text("\n".join(lines), encoding="utf-8")
    print(f"{missing} messages with a text in no source", file=sys.stderr)
    return 0


def _program(origin: str) -> str:
    return origin.partition(" ")[0]


def entry(name: str, table: Mapping[str, list[str]]) -> list[str]:
    """A message's lines in the file."""
    held = ("origin", "reported", "reports")
    return [f"[{name}]", *(f"{key} = {quoted(table[key])}" for key in held if key in table), ""]


HEAD = """\
# Where the texts come from: program, releases, file and function. Written by
# tools/message_origins.py. `reported`: texts that are in none of the sources read; they come from
# public reports (`reports` names them), from old releases or from builds of distributions.
"""


def public_reports() -> list[tuple[str, str]]:
    """Where it was reported, and the log, of every public log among the tests."""
    found: list[tuple[str, str]] = []
    for path in sorted(TESTS.glob("*.toml")):
        failures = tomllib.loads(path.read_text(encoding="utf-8")).get("failure", [])
        found += [
            (failure.get("ref", ""), failure.get("log") or "\n".join(failure["logs"]))
            for failure in failures
        ]
    return found


def seen_in(wording: str, reports: list[tuple[str, str]]) -> str:
    """The first public report that holds a text, "" for none."""
    pattern = Template(wording).pattern
    for ref, log in reports:
        for line in log.splitlines():
            if any(pattern.search(piece.text) for piece in pieces_of(line.encode())):
                return ref
    return ""


def quoted(items: list[str]) -> str:
    """A TOML array."""
    return "[" + ", ".join(json.dumps(item, ensure_ascii=False) for item in items) + "]"


def places(
    text: Text, trees: dict[str, list[Tree]], programs: list[str], own: int = 1
) -> Iterator[str]:
    """``program|release|file: function`` of the first two places in each release of a program.

    :param own: how many of *programs*, the first, are the message's own.
    """
    whole = text.template.text
    for form, origin in COMPOSED:
        if re.search(form, whole):
            yield origin
            return
    asserted = _ASSERTION.search(whole)
    if asserted:
        yield from _in_trees(asserted[1], re.compile(re.escape(asserted[1])), trees, programs)
        return
    found = list(_in_trees(word(text), needle(text), trees, programs))
    wide = loose(text) if not found else None
    yield from found or (list(_in_trees(*wide, trees, programs[:own])) if wide else [])


def _in_trees(
    literal: str, pattern: re.Pattern[str], trees: dict[str, list[Tree]], programs: list[str]
) -> Iterator[str]:
    if len(literal) < 5:
        return
    for program in programs:
        any_found = False
        for tree in trees.get(program, ()):
            for source, position in tree.hits(literal, pattern):
                function = source.function(position)
                yield f"{program}|{tree.release}|{source.name}{': ' + function if function else ''}"
                any_found = True
        if any_found:
            return


class Tree:
    """The files of a release, as one text to search."""

    def __init__(self, release: str, path: Path) -> None:
        self.release = release
        self.files = list(sources(path))
        self.text = "\1".join(source.text for source in self.files)
        self.starts = []
        at = 0
        for source in self.files:
            self.starts.append(at)
            at += len(source.text) + 1

    def hits(self, literal: str, pattern: re.Pattern[str]) -> Iterator[tuple[Source, int]]:
        """The first two files that hold the text."""
        found: set[int] = set()
        position = self.text.find(literal)
        tried = 0
        while position >= 0 and len(found) < 2 and tried < 400:
            tried += 1
            hit = pattern.search(self.text, max(0, position - 400), position + 600)
            if hit is not None and "\1" not in hit[0]:
                number = bisect.bisect_right(self.starts, hit.start()) - 1
                if number not in found:
                    found.add(number)
                    yield self.files[number], hit.start() - self.starts[number]
                position = self.text.find(literal, max(hit.end(), position + 1))
            else:
                position = self.text.find(literal, position + 1)


def merged(origins: list[str]) -> list[str]:
    """The same place in several releases as one."""
    places: dict[tuple[str, str], list[str]] = {}
    for origin in origins:
        if "|" not in origin:
            places.setdefault((origin, ""), [])
            continue
        program, release, place = origin.split("|")
        releases = places.setdefault((program, place), [])
        if release and release not in releases:
            releases.append(release)
    return [
        f"{program} {', '.join(releases)}".strip() + (f" {place}" if place else "")
        for (program, place), releases in places.items()
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
