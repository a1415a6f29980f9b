"""Other hosts, reached through the user's own ssh client, and this one.

::

    with Connection(Address.parse("ssh://node2")) as host:
        host.request("guests")

A host needs nothing but Python 3.9 or newer and its QEMU. :mod:`.bundle` packs what runs there,
:mod:`.bootstrap` unpacks it into a private folder, :mod:`.agent` does what it is asked to
(:mod:`.operations`) and removes the folder when the connection ends, however it ends.
:mod:`.preflight` asks two such hosts whether a guest can move, and come home again.
"""
