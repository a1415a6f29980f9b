"""``hw/virtio/virtio.c: virtio_load``: the blob that vmdesc calls one field ``virtio``.

Source: hw/virtio/virtio.c, virtio-pci.c, virtio-mmio.c, hw/block/virtio-blk.c,
hw/char/virtio-serial-bus.c; 4.1 to 10.2, 11.1 by what it prints. A rule sees the queues before the
device's own part is read and the whole afterwards, as the checks stand in the source.
"""

from __future__ import annotations

from errno import EINVAL, EPERM

from migratable.check import events
from migratable.check.devices import reads
from migratable.check.devices.pci import msix_entries
from migratable.check.loader import Loader, Reading
from migratable.check.problem import Problem, RefusedError, UnexaminedError
from migratable.check.state import LoadedState
from migratable.facts import virtio as virtio_facts
from migratable.problem_facts import Facts, PortsFacts
from migratable.profile.tables import VirtioLive
from migratable.verdict import Severity

_NO_VECTOR = 0xFFFF
_QUEUE_MAX = 1024
_PACKED = 34
#: Up to 10.1 a device that has no feature above bit 31 compares the lower ones alone.
_ALL_FEATURES = (10, 2)
#: sizeof(VirtQueueElementOld): index, two counts, 1024 addresses and vectors each way.
_ELEMENT_SIZE = 16 + 2 * 8 * _QUEUE_MAX + 2 * 16 * _QUEUE_MAX


@reads("virtio")
def load(reading: Reading) -> None:
    """Load the blob; the body is of the device's outer description.

    :raise RefusedError: where ``virtio_load`` returns an error.
    :raise UnexaminedError: for transports and devices that are not known.
    """
    loader = reading.loader
    live = loader.tables.virtio.get(loader.handler.idstr)
    if live is None:
        raise UnexaminedError(f"{loader.handler.idstr}: the destination's virtio device")
    known = loader.handler.idstr in loader.tables.pci or _is_mmio(loader) or live.ccw
    if not known:
        raise UnexaminedError(f"{loader.handler.idstr}: a virtio transport that is not known")
    _Virtio(loader, reading.body, live).load()


@reads("virtqueue_extra_state")
def extra_state(reading: Reading) -> None:
    """hw/virtio/virtio-pci.c: virtio_pci_load_extra_state, and virtio-mmio.c's."""
    loader, body = reading.loader, reading.body
    name = "virtio_mmio" if _is_mmio(loader) else "virtio_pci"
    index = loader.tables.extra.get(name)
    if index is None:
        raise UnexaminedError(f"the destination's description of {name} was not found")
    try:
        loader.vmstate_load_state(index, loader.memory.allocate(1 << 16), 1, body, None)
    except RefusedError as refused:
        refused.report()
        raise


def _is_mmio(loader: Loader) -> bool:
    return loader.handler.idstr.startswith("virtio-mmio@")


class _Virtio:
    def __init__(self, loader: Loader, body: LoadedState, live: VirtioLive) -> None:
        self._loader = loader
        self._body = body
        self._live = live
        self._entries: int | None = None
        self.features = 0

    def load(self) -> None:
        loader, f = self._loader, self._loader.f
        self._transport()
        body = self._body
        body.values["status"] = f.get_be(1)
        f.skip(1)  # isr
        queue_sel = f.get_be(2)
        if queue_sel >= _QUEUE_MAX:
            raise self._silent(f"the selected queue is number {queue_sel}", errno=EPERM)
        low = f.get_be(4)
        self.features = low
        body.values["guest_features"] = low
        config_len = f.get_be(4)
        body.values["config"] = f.get_stored(config_len)
        count = f.get_be(4)
        body.values["num_queues"] = count
        queues = self._queues(count) if count <= _QUEUE_MAX else ()
        loader.ask(
            events.VirtioQueues(
                release=loader.release,
                idstr=loader.handler.idstr,
                live=self._live,
                queues=queues,
                count=count,
            )
        )
        device = self._device_part()
        try:
            wide, features = self._common(low)
        except RefusedError as refused:
            refused.report()
            raise
        loader.ask(
            events.VirtioLoaded(
                release=loader.release,
                idstr=loader.handler.idstr,
                live=self._live,
                features=features,
                wide=wide,
                queues=queues,
                device=device,
            )
        )

    def _silent(
        self,
        summary: str,
        *,
        rule: str = "field-validation",
        errno: int,
        facts: Facts | None = None,
    ) -> RefusedError:
        problem = Problem(rule=rule, summary=summary, errno=errno, facts=facts)
        return RefusedError(problem, self._loader.release)

    def _transport(self) -> None:
        """``virtio_pci_load_config``, ``virtio_mmio_load_config``."""
        loader = self._loader
        if _is_mmio(loader):
            loader.f.skip(3 * 4)  # two feature selectors and the guest's page shift
            return
        if self._live.ccw:
            self._channel()
            return
        index = loader.tables.extra.get("PCIDevice")
        if index is None:
            raise UnexaminedError("the destination's description of PCIDevice was not found")
        vmsd = loader.tables.vmsds[index]
        proxy = loader.memory.allocate(1 << 16)
        for item in vmsd.fields:
            if item.info == "int32 le":  # hw/pci/pci.c: pci_qdev_realize sets version_id to 2
                loader.memory.set(proxy + item.offset, 4, 2)
        try:
            child = loader.vmstate_load_state(index, proxy, vmsd.version, self._body, None)
        except RefusedError as refused:
            refused.report()
            raise
        self._body.children["PCIDevice"] = [child]
        self._entries = msix_entries(loader)
        if self._entries is None:
            return
        loader.f.skip(16 * self._entries + (self._entries + 7) // 8)
        self._vector("the configuration's")

    def _channel(self) -> None:
        """hw/s390x/virtio-ccw.c: virtio_ccw_load_config; version 1 whatever the table's is."""
        loader = self._loader
        index = loader.tables.extra.get("s390_virtio_ccw_dev")
        if index is None:
            raise UnexaminedError("the destination's description of s390_virtio_ccw_dev")
        own = self._body.own.child("s390_virtio_ccw_dev") if self._body.own is not None else None
        try:
            child = loader.vmstate_load_state(index, self._live.ccw, 1, self._body, None, own)
        except RefusedError as refused:
            refused.report()
            raise
        self._body.children["s390_virtio_ccw_dev"] = [child]

    def _vector(self, whose: str) -> None:
        vector = self._loader.f.get_be(2)
        if vector != _NO_VECTOR and vector >= (self._entries or 0):
            raise self._silent(
                f"{whose} MSI-X vector is number {vector}, the destination has {self._entries}",
                rule="virtio-queues",
                errno=EINVAL,
            )

    def _queues(self, count: int) -> tuple[tuple[int, int, int], ...]:
        """Of each queue ``num``, whether it has an address, and the index of one without."""
        f = self._loader.f
        aligned = _is_mmio(self._loader)  # has_variable_vring_alignment
        queues: list[tuple[int, int, int]] = []
        for number in range(count):
            num = f.get_be(4)
            if aligned:
                f.skip(4)
            # Addresses and indices belong to the guest; a queue without an address has neither.
            desc, last = f.get_nonzero(8), 0
            if desc:
                f.skip(2)
            else:
                last = f.get_be(2)
            queues.append((num, int(desc), last))
            if last:
                refused = self._loader.refuse(
                    "virtio-queues",
                    f"queue {number} has no address and its index is {last:#x}",
                    ("virtio-queue-address", {"queue": number, "index": last}),
                    errno=EPERM,
                )
                raise refused
            if self._live.ccw:
                f.skip(2)  # virtio_ccw_load_queue: a vector, which is not looked at
            elif self._entries is not None:
                self._vector(f"queue {number}'s")
        return tuple(queues)

    def _device_part(self) -> LoadedState | None:
        """``vdc->load`` of old style, then ``vdc->vmsd``."""
        loader = self._loader
        kind = self._body.vmsd.name
        if kind == "virtio-blk":
            self._block_requests()
        elif kind == "virtio-console" or kind.startswith("virtio-serial"):
            self._serial()
        own = loader.handler.vmsd
        inner = [
            index
            for name, index in self._live.vmsds.items()
            if index != own and name.startswith(("virtio", "vhost"))
        ]
        if not inner:
            return None
        if len(inner) > 1:
            raise UnexaminedError(f"{loader.handler.idstr}: which part of it comes is not known")
        try:
            device = loader.vmstate_load_state(
                inner[0],
                loader.handler.opaque,
                self._body.vmsd.version,
                self._body,
                None,
                self._body.own.child("device") if self._body.own is not None else None,
            )
        except RefusedError as refused:
            refused.report()
            raise
        self._body.children["device"] = [device]
        return device

    def _common(self, low: int) -> tuple[bool, int]:
        """``vmstate_virtio``: whether features came wide, and the features."""
        loader = self._loader
        index = loader.tables.extra.get("virtio")
        if index is None:
            raise UnexaminedError("the destination's description of virtio was not found")
        common = loader.vmstate_load_state(index, loader.handler.opaque, 1, self._body, None)
        self._body.children["virtio"] = [common]
        wide = common.subsections.get("virtio/64bit_features")
        if wide is None:
            return False, low
        features = next((v for v in wide.values.values() if isinstance(v, int)), low)
        if loader.release < _ALL_FEATURES and not self._live.host_features >> 32:
            self._dropped(features & ~0xFFFF_FFFF)  # virtio_64bit_features_needed
            return False, low
        more = common.subsections.get("virtio/128bit_features")
        if more is not None:
            features |= next((v for v in more.values.values() if isinstance(v, int)), 0) << 64
        return True, features

    def _dropped(self, features: int) -> None:
        """What the destination takes from the guest without a word."""
        if features:
            kind = self._loader.handler.idstr.rpartition("/")[2]
            names = ", ".join(virtio_facts.names(kind, features))
            problem = Problem(
                rule="virtio-features",
                refuses=False,
                severity=Severity.ENDANGERS,
                summary=f"the destination drops features that the guest's driver uses: {names}",
                explanation="The device has none above bit 31, so it does not check the guest's; "
                "the guest continues to use vrings that the device no longer reads.",
                field="guest_features",
            )
            self._loader.problems.append(problem)

    def _block_requests(self) -> None:
        """``virtio_blk_load_device``."""
        f = self._loader.f
        several = len(self._live.queues) > 1
        while f.get_be(1):
            if several:
                queue = f.get_be(4)
                if queue >= len(self._live.queues):
                    raise self._loader.refuse(
                        "virtio-queues",
                        f"a request waits in queue {queue}, the destination has "
                        f"{len(self._live.queues)}",
                        ("virtio-blk-index", {"index": f"{queue:#x}"}),
                        errno=EINVAL,
                    )
            self._element()

    def _element(self) -> None:
        """``qemu_get_virtqueue_element``."""
        self._loader.f.skip(_ELEMENT_SIZE)
        if self.features >> _PACKED & 1:
            self._loader.f.skip(4)

    def _serial(self) -> None:
        """``virtio_serial_load_device``: the destination must have each port that is named."""
        loader, f, body = self._loader, self._loader.f, self._body
        f.skip(4)  # columns and rows, unused
        sent = f.get_be(4)
        if sent > 0xFFFF:  # it is in the guest's byte order: swapped for a big-endian one
            sent = int.from_bytes(sent.to_bytes(4, "little"), "big")
        here = loader.local(body, "max_nr_ports", sent)
        if here is None:
            raise UnexaminedError(f"{loader.handler.idstr}: the destination's ports")
        body.values["max_nr_ports"] = here
        for word in range((here + 31) // 32):
            ports = f.get_be(4)
            local = loader.local(body, f"ports_map[{word}]", ports)
            body.values[f"ports_map[{word}]"] = ports
            if local != ports:
                raise self._silent(
                    f"the guest's ports are {ports:#x}, the destination's {local or 0:#x}",
                    rule="field-equal",
                    errno=EINVAL,
                    facts=PortsFacts(
                        ports=tuple(32 * word + bit for bit in range(32) if ports >> bit & 1)
                    ),
                )
        active = f.get_be(4)
        for _ in range(min(active, 1 << 16)):
            port = f.get_be(4)
            body.values[f"port[{port}]"] = 1
            # Not the port map: its bit 0 is set with and without a console at port 0.
            if loader.local(body, f"port[{port}]", 1) is None:
                raise self._silent(f"the destination has no port {port}", errno=EINVAL)
            f.skip(1 + 1)
            if f.get_be(4):
                f.skip(4 + 8)
                self._element()
