"""Will this QEMU virtual machine load on that destination, and if not, why, and what fixes it?

The packages, from the bottom up (imports only ever point down this list):

``errors``, ``terms``, ``verdict``
    Our exceptions, QEMU's vocabulary, and the answer that every command gives.
``stream``
    Bytes of a migration stream to typed parts and back.
``knowledge``
    What QEMU prints, by release, and what it means.
``lab``
    Real QEMU releases side by side, from Debian's packages.
``profile``
    What a destination is: collected from the real program, stored as data.
``pseries``
    The pseries machine's capabilities and interrupt controllers as a model.
``check``
    A replay of QEMU's loader over a stream, against a profile, rule by rule.
``capture``, ``rehearse``
    State of a running VM; the same question put to the real destination.
``report``, ``fleet``, ``serve``, ``cli``
    What people and programs see: texts and pages, many pairs at once, HTTP, the command line.
"""

__version__ = "0.1.0"
