"""Will this QEMU virtual machine load on that destination, and if not, why, and what fixes it?

The packages, from the bottom up (imports only ever point down this list):

``errors``, ``releases``, ``verdict``
    The error tree, QEMU's release numbers, and the answer that every command gives.
``facts``, ``messages``
    Facts about QEMU and what it prints, as data with its origin.
``stream``
    Bytes of a migration stream to typed parts and back.
``explain``
    From a log to failures.
``lab``
    Real QEMU releases side by side, from Debian's packages.
``commandline``, ``qemu``
    A QEMU command line, made inert; the program, started paused.
``profile``
    A description of a destination, collected from the real program.
``pseries``
    The pseries machine's capabilities and interrupt controllers as a model.
``check``
    THE ENGINE: QEMU's loader, replayed over a stream with the destination's own tables.
``rehearse``, ``hints``, ``capture``
    The same question put to the real destination; remedies; device state of a running VM.
``fleet``, ``route``, ``gate``
    Many VMs and hosts; a chain of hosts; releases against one another.
``report``, ``serve``, ``cli``
    Texts and pages, HTTP, the command line.
"""

__version__ = "0.1.0"
