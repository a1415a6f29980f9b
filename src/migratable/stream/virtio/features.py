"""Names of virtio feature bits, as QEMU's properties and Linux's headers have them.

Source: ``include/standard-headers/linux/virtio_*.h`` and ``qapi/virtio.json`` of QEMU 10.0.
"""

from __future__ import annotations

_COMMON = {
    24: "notify_on_empty",
    27: "any_layout",
    28: "indirect_desc",
    29: "event_idx",
    30: "bad_feature",
    32: "version_1",
    33: "iommu_platform",
    34: "packed",
    35: "in_order",
    36: "order_platform",
    37: "sr_iov",
    38: "notification_data",
    39: "notif_config_data",
    40: "ring_reset",
    41: "admin_vq",
}
_NET = """csum guest_csum ctrl_guest_offloads mtu - mac gso guest_tso4 guest_tso6 guest_ecn
    guest_ufo host_tso4 host_tso6 host_ecn host_ufo mrg_rxbuf status ctrl_vq ctrl_rx ctrl_vlan
    ctrl_rx_extra guest_announce mq ctrl_mac_addr"""
_NET_HIGH = {
    50: "device_stats",
    52: "vq_notf_coal",
    53: "notf_coal",
    54: "guest_uso4",
    55: "guest_uso6",
    56: "host_uso",
    57: "hash_report",
    59: "guest_hdrlen",
    60: "rss",
    61: "rsc_ext",
    62: "standby",
    63: "speed_duplex",
    65: "guest_udp_tunnel_gso",
    66: "guest_udp_tunnel_gso_csum",
    67: "host_udp_tunnel_gso",
    68: "host_udp_tunnel_gso_csum",
}
_LOW = {
    "virtio-net": _NET,
    "virtio-blk": """barrier size_max seg_max - geometry ro blk_size scsi - flush topology
        config_wce mq discard write_zeroes lifetime secure_erase zoned""",
    "virtio-console": "size multiport emerg_write",
    "virtio-balloon": """must_tell_host stats_vq deflate_on_oom free_page_hint page_poison
        free_page_reporting""",
    "virtio-scsi": "inout hotplug change t10_pi",
    "virtio-gpu": "virgl edid resource_uuid resource_blob context_init",
    "virtio-iommu": "input_range domain_range map_unmap bypass probe mmio bypass_config",
    "virtio-mem": "acpi_pxm unplugged_inaccessible persistent_suspend",
    "virtio-9p": "mount_tag",
    "virtio-fs": "notification",
    "vhost-vsock": "stream seqpacket",
}


def names(kind: str, features: int) -> tuple[str, ...]:
    """Names of the bits that are set; ``bit N`` for one without a name.

    :param kind: the device as in its idstr, ``virtio-net``.
    """
    low = dict(enumerate(_LOW.get(kind, "").split()))
    known = {**low, **_COMMON, **(_NET_HIGH if kind == "virtio-net" else {})}
    return tuple(
        known.get(bit, f"bit {bit}") if known.get(bit) != "-" else f"bit {bit}"
        for bit in range(features.bit_length())
        if features >> bit & 1
    )
