"""The same answers as a small HTTP service, for hooks of OpenStack, KubeVirt, Proxmox and the like.

``settings``
    Where it listens, who may ask, how much of everything it takes.
``upload``
    A request's body into a file without a name, at a minimum speed and up to a size.
``worker``, ``pool``
    Checks run in processes of their own, with limited memory and time.
``application``, ``problem``, ``openapi``
    The routes, the errors, the description.
``protocol``, ``server``
    HTTP connections that cannot be held open; start and graceful stop.

Nothing here starts QEMU: what comes over the network is only ever read.
"""
