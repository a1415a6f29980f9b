"""Properties whose value is text: which of them name a file or something else of the host.

Of devices (``-device X,help``), machines (``-machine X,help``), ``-object`` types and accelerators
of QEMU 4.1 to 11.1; ``tests/real/test_allow_lists.py`` reads the listings of every release in the
lab and fails on a text property that is not here. All other properties are numbers, switches,
choices and links, which name nothing of the host.
"""

from __future__ import annotations

from enum import StrEnum


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


class Text(StrEnum):
    """What the text of a property names."""

    PLAIN = "plain"
    """Nothing of the host: text for the guest, or the id of something on the same command line."""
    FILE = "file"
    """A file that QEMU reads."""
    HOST = "host"
    """A file that QEMU writes, a folder, a device, an address or a descriptor of the host."""


_PLAIN = """
    addr aia aia-guests append audiodev auth-key bmc-console boot-cpu boot-mode bootargs bus
    bus-label bus-name cap-cfpc cap-ibs cap-sbbc chardev chardev0 chardev1 chardev2 chardev3
    chardev4 chardev5 chardev6 chardev7 chnA-sunkbd-layout chrA chrB cmdline color command-line
    cpu-iaffids cpu-type cpus db-clock db-voltage desc description dev_id device_id devno display
    drive driveA driveB dt-compatible duplex failover_pair_id fdp.ruhs fdt filter firmware-version
    fmc-model fp_start_macaddr fsdev gic-version guid hart-config hba_serial host-model
    host-serial hv-vendor-id ic-mode identifier instanceid iommu keycodes kvm-type
    lan.defgw_ipaddr lan.defgw_macaddr lan.ipaddr lan.macaddr lan.netmask limits loadparm mac
    masterbus max-cpu-compat memory-backend model model-id mount_tag msi name netdev nguid nqn
    nvdimm-persistence oscclk osk ospi-flash outputs part-name pci-bus pci-dev pci-id pci-type
    pcspk-audiodev pflash0 pflash1 pg0-lock pmp-granularity port ports priv_spec product read-only
    redist-region-count remap reserved-regions resize-hpt rnmi-exception-vector
    rnmi-interrupt-vector serial serial0 signature smbios-entry-point-type spi-model sriov-pf
    stage stats-intervals subch_id sysplex_name system_name system_type tag target thread
    tls-authz tls-creds tls-hostname tpmdev tx type unavailable-features uuid vdev vendor ver
    vext_spec vf-token via world wwpn x-oem-id x-oem-table-id
"""
_FILE = "romfile file kernel initrd dtb shim firmware netboot_fw bios-name cdat sdrfile frudatafile"
_HOST = """
    backend cert cert1 cert2 cert3 confidential-guest-support counter data-dir db device
    dh-cert-file dir dumpdtb ebpf-rss-fds entropy evdev fd fds filename hidraw host host-path
    host_ip hostaddr hostdevice hostport ibdev if jsonfile mad-chardev mem-path memory-encryption
    path pcap pcapfile privkey pubkey quote-generation-socket rapl-helper-socket rootdir rrfile
    session-file socket splash sysfsdev vhostdev vhostfd vhostfds
"""

TEXT: dict[str, Text] = {
    **dict.fromkeys(_PLAIN.split(), Text.PLAIN),
    **dict.fromkeys(_FILE.split(), Text.FILE),
    **dict.fromkeys(_HOST.split(), Text.HOST),
}

NUMBERS = {"usb-host": frozenset({"hostaddr"})}
"""Drivers whose property of such a name is a number all the same."""

OBJECTS_KEPT = _names(
    """
    iothread main-loop throttle-group rng-builtin can-bus acpi-generic-initiator acpi-generic-port
    cryptodev-backend-builtin memory-backend-ram
    """
)
"""Types of ``-object`` that are handed on (``qapi/qom.json``); their properties are in ``TEXT``."""

OBJECTS_REPLACED = _names(
    """
    memory-backend-file memory-backend-memfd memory-backend-shm rng-random rng-egd
    cryptodev-backend cryptodev-backend-lkcf cryptodev-vhost-user
    """
)
"""Types that a harmless one stands in for."""

OBJECTS_DROPPED = _names(
    """
    secret secret_keyring tls-creds-anon tls-creds-psk tls-creds-x509 tls-cipher-suites authz-simple
    authz-list authz-list-file authz-pam pr-manager-helper filter-buffer filter-dump filter-mirror
    filter-redirector filter-replay filter-rewriter colo-compare thread-context iommufd input-linux
    input-barrier qtest x-vfio-user-server vfio-user-server x-remote-object can-host-socketcan
    monitor-hmp monitor-qmp dbus-vmstate dbus-display igvm-cfg
    """
)
"""Types that open, connect, listen or write, and leave no trace in a stream."""

OBJECTS_REFUSED = _names(
    """
    sev-guest sev-snp-guest sev-es-guest tdx-guest s390-pv-guest pef-guest memory-backend-epc
    arm-rme-guest
    """
)
"""Types of guests whose state cannot be examined from outside."""

CONFIG_GROUPS = {
    "accel": "accel",
    "acpi": "acpitable",
    "action": "action",
    "add-fd": "add-fd",
    "audiodev": "audiodev",
    "boot-opts": "boot",
    "chardev": "chardev",
    "device": "device",
    "drive": "drive",
    "fsdev": "fsdev",
    "fw_cfg": "fw_cfg",
    "global": "global",
    "icount": "icount",
    "iscsi": "iscsi",
    "machine": "machine",
    "memory": "m",
    "mon": "mon",
    "msg": "msg",
    "name": "name",
    "net": "net",
    "netdev": "netdev",
    "nic": "nic",
    "numa": "numa",
    "object": "object",
    "option-rom": "option-rom",
    "overcommit": "overcommit",
    "plugin": "plugin",
    "realtime": "realtime",
    "rtc": "rtc",
    "run-with": "run-with",
    "sandbox": "sandbox",
    "semihosting-config": "semihosting-config",
    "smbios": "smbios",
    "smp-opts": "smp",
    "spice": "spice",
    "tpmdev": "tpmdev",
    "trace": "trace",
    "virtfs": "virtfs",
    "vnc": "vnc",
}
"""Groups of ``-readconfig`` and ``-set`` (``qemu_add_opts``, ``qemu_init``) and their options."""
