"""Will this QEMU virtual machine load on that destination, and if not, why, and what fixes it?

The packages, from the lowest to the highest. A package imports only packages above it in this list:

``errors``, ``releases``, ``verdict``
    The error tree, QEMU's release numbers, and the answer of every command.
``facts``, ``stream``, ``messages``
    Facts about QEMU; migration streams as typed parts; QEMU's messages, as data with its origin.
``lab``, ``commandline``, ``qemu``
    Real QEMU releases from Debian's packages; command lines, made inert; QEMU, started paused.
``profile``
    A description of a destination, collected from the real program.
``check``
    The engine: QEMU's loader, replayed over a stream with the destination's own tables.
``explain``, ``pseries``
    From a log to failures; a model of the pseries machine's capabilities.
``rehearse``, ``hints``, ``convert``, ``capture``
    The load on the real destination; remedies; a rewritten stream; the state of a running VM.
``fleet``, ``route``, ``relay``, ``hosts``
    Many VMs and hosts; a chain of hosts; a guarded live migration; ``preflight`` over ssh.
``report``, ``gate``, ``campaign``, ``serve``, ``cli``
    Output; releases against one another; predictions against real QEMU; HTTP; the command line.
"""

__version__ = "0.1.0"
