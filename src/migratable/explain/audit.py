"""SELinux's lines in the log, joined to the error that they explain: by file, or by program.

Forms: the audit daemon's (``type=AVC msg=audit(…): avc:  denied``), journald's (``audit[PID]: AVC
avc:  denied``), the kernel's (``audit: type=1400 audit(…): avc:  denied``), and SELINUX_ERR for a
transition that the policy does not have. Origins: Linux security/selinux/avc.c, ss/services.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_AVC = re.compile(
    r"avc: +denied +\{ ?(?P<access>[\w -]+?) ?\} +for +(?P<fields>.{1,600}?)"
    r"tcontext=(?P<target>[^\s\"']+)(?: +tclass=(?P<kind>\w+))?"
)
_TRANSITION = re.compile(
    r"SELINUX_ERR.{0,200}?op=security_compute_sid\s.{0,200}?invalid_context=\"?(?P<new>[^\s\"]+)\"?"
    r"\s.{0,200}?scontext=(?P<source>[^\s\"]+)\s.{0,200}?tcontext=(?P<target>[^\s\"]+)"
)
_FIELD = re.compile(r"(\w+)=(?:\"([^\"]*)\"|(\S+))")
# Who acts for a guest; denials of other programs are none of its business.
_OURS = re.compile(r"qemu|kvm|svirt|virt|swtpm|ssh|passt")
# Labels that a file brings along from the place where it was made (refpolicy: userdom, files).
_MOVED = frozenset(
    {
        "admin_home_t", "user_home_t", "user_home_dir_t", "home_root_t", "tmp_t", "user_tmp_t",
        "unlabeled_t", "default_t", "var_t", "var_lib_t", "etc_t", "usr_t", "mnt_t", "root_t",
        "httpd_sys_content_t", "container_file_t", "data_home_t", "public_content_t",
        "samba_share_t",
    }
)  # fmt: skip
_BOOLEANS = {
    "nfs_t": "virt_use_nfs", "cifs_t": "virt_use_samba", "fusefs_t": "virt_use_fusefs",
    "usb_device_t": "virt_use_usb", "xenfs_t": "virt_use_xserver", "sanlock_t": "virt_use_sanlock",
}  # fmt: skip
_LAST = (
    "Only when nothing else helps make a local module of the denials (ausearch -m avc -ts recent "
    "| audit2allow -M mine; semodule -i mine.pp)."
)
_PROGRAMS = re.compile(r"cannot execute binary (?P<program>[^\s:]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """What SELinux did not allow.

    :ivar text: the line of the log.
    :ivar said: a sentence about it.
    :ivar now: what lifts it.
    """

    text: str
    said: str
    now: str


def denial(error: str, lines: list[str]) -> Denial | None:
    """The SELinux line among *lines* that speaks of the file or program in *error*.

    :param error: the line of the error, which ends in EACCES or EPERM.
    """
    for text in lines:
        for found in (*_denied(error, text), *_transitions(error, text)):
            return found
    return None


def _type(context: str) -> str:
    parts = context.split(":")
    return parts[2] if len(parts) > 2 else context


def _denied(error: str, text: str) -> Iterator[Denial]:
    hit = _AVC.search(text)
    if hit is None:
        return
    fields = {name: quoted or bare for name, quoted, bare in _FIELD.findall(hit["fields"])}
    name = fields.get("path") or fields.get("name", "")
    short = name.rpartition("/")[2]
    path = re.search(rf"(?<![\w/])/[^\s'\"]*{re.escape(short)}(?![\w.-])", error) if short else None
    source = fields.get("scontext", "")
    if text != error and not (path or (not short and _OURS.search(fields.get("comm", "")))):
        return
    if not _OURS.search(f"{fields.get('comm', '')} {_type(source)}"):
        return
    file = path[0] if path else name
    label = _type(hit["target"])
    who = fields.get("comm", "the program")
    said = (
        f"SELinux denies {who} ({_type(source) or 'unknown domain'}) {{ {hit['access']} }} on "
        f"{file or hit['kind'] or 'an object'}, which has the label {label}."
    )
    yield Denial(text=text, said=said, now=_remedy(hit, label, file, source))


def _remedy(hit: re.Match[str], label: str, file: str, source: str) -> str:
    folder = file.rpartition("/")[0]
    if label in _BOOLEANS:
        return (
            f"setsebool -P {_BOOLEANS[label]} 1 on this host: the policy allows guests what has "
            f"the label {label} only then. {_LAST}"
        )
    if hit["kind"] in ("file", "dir", "lnk_file", "blk_file", "chr_file", None) and (
        label in _MOVED or "home" in label or "tmp" in label
    ):
        if re.match(r"/(?:home|root|tmp)/", file):
            return (
                f"Guests may not use files of a home or temporary directory: move {file} to "
                "/var/lib/libvirt/images (then restorecon -v it there), or give its folder the "
                f"label of images: semanage fcontext -a -t virt_image_t '{folder}(/.*)?', then "
                f"restorecon -Rv {folder}."
            )
        if not file.startswith("/var/lib/libvirt") and folder:
            return (
                f"restorecon -v {file}. If the label stays, its folder has no rule: semanage "
                f"fcontext -a -t virt_image_t '{folder}(/.*)?', then restorecon -Rv {folder}."
            )
        return f"restorecon -v {file}: the label {label} came along from where the file was made."
    if label in ("svirt_image_t", "svirt_t", "svirt_tcg_t"):
        return (
            "The file has the label of another guest (compare the categories c…,c… of both "
            "contexts): end that guest, mark the disk <shareable/> in both, or restorecon -v it "
            "when no guest uses it."
        )
    if label in ("virt_content_t", "virt_image_t") and "write" in hit["access"]:
        return (
            f"The file has the label {label}, which guests only read: libvirt labels it for "
            "writing at the start unless the disk is <readonly/> or relabel='no'."
        )
    what = file or hit["kind"] or "it"
    return (
        f"Compare the label with the policy's (matchpathcon, restorecon -nv {what}) and update "
        f"selinux-policy (and container-selinux). {_LAST}"
    )


def _transitions(error: str, text: str) -> Iterator[Denial]:
    hit = _TRANSITION.search(text)
    if hit is None:
        return
    source, new = _type(hit["source"]), _type(hit["new"])
    program = _PROGRAMS.search(error)
    name = program["program"].rpartition("/")[2] if program else ""
    of_program = bool(name) and name.replace("-", "_") in _type(hit["target"])
    daemon = source.removesuffix("_t")
    if text != error and not of_program and daemon not in error:
        return
    if not _OURS.search(f"{source} {new}"):
        return
    yield Denial(
        text=text,
        said=f"SELinux's policy on this host has no transition from {source} to {new}: what "
        f"{source} starts there does not run.",
        now="Update selinux-policy on the host of this log (dnf upgrade 'selinux-policy*'; where "
        "an update brought it, the version before). Until then setenforce 0, or permissive for "
        f"that domain alone (semanage permissive -a {source}).",
    )
