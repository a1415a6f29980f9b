"""The local host, and other hosts over the user's own ssh client.

::

    with Connection(Address.parse("ssh://node2")) as host:
        host.request("guests")

A host needs only Python 3.9 or newer and its QEMU. :mod:`.bundle` packs the program for the host,
:mod:`.bootstrap` unpacks it there into a private folder, and :mod:`.agent` answers requests
(:mod:`.operations`). It removes the folder when the connection ends, for whatever reason.
:mod:`.preflight` asks two such hosts whether a guest can move, and come back.
"""
