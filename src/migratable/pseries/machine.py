"""One pseries machine, for programs: save what it would send, load what another sends."""

from __future__ import annotations

from collections.abc import Mapping

from migratable.errors import CommandLineError
from migratable.pseries import wire
from migratable.pseries.build import Build
from migratable.pseries.build import release as upstream
from migratable.pseries.start import Started, Starter
from migratable.pseries.values import NotModelledError
from migratable.stream import Stream


class PseriesMachine:
    """A started machine of one release (or :class:`Build`), described by QEMU's options.

    :ivar started: levels, defaults, what it printed and would send.
    """

    def __init__(
        self,
        *,
        release: str | Build,
        machine: str | None = None,
        cpu: str | None = None,
        ic_mode: str | None = None,
        max_cpu_compat: str | None = None,
        memory: str | None = None,
        smp: str | None = None,
        caps: Mapping[str, str] | None = None,
    ) -> None:
        """Start it.

        :param caps: values by capability: ``{"htm": "off", "hpt-max-page-size": "16M"}``.
        :raise CommandLineError: When QEMU would end at start, or an option is not modelled.
        """
        build = upstream(release) if isinstance(release, str) else release
        options = [machine or build.newest().name]
        options += [f"ic-mode={ic_mode}"] if ic_mode is not None else []
        options += [f"max-cpu-compat={max_cpu_compat}"] if max_cpu_compat is not None else []
        options += [f"cap-{name}={value}" for name, value in (caps or {}).items()]
        self.args = ["-M", ",".join(options)]
        for option, value in (("-cpu", cpu), ("-m", memory), ("-smp", smp)):
            self.args += [option, value] if value is not None else []
        try:
            self.started: Started = Starter(build).start(self.args)
        except NotModelledError as unknown:
            raise CommandLineError(str(unknown)) from None
        if not self.started.runs:
            raise CommandLineError(
                f"QEMU {build.name} ends at start: " + "; ".join(self.started.stderr)
            )

    def stream(self) -> Stream:
        """The stream that it would send, as parts; change them to try what never existed."""
        return wire.build_stream(self.started)

    def save(self) -> bytes:
        """The stream that it would send: header, configuration, interrupt controllers, spapr."""
        return wire.save(self.started)

    def load(self, stream: Stream | bytes) -> wire.Outcome:
        """What this machine says of *stream* when it is the destination.

        :raise StreamError: When *stream* is no stream of a pseries machine.
        """
        return wire.load(stream, self.started)
