"""Verdicts over HTTP, for hooks of OpenStack, KubeVirt, Proxmox and the like.

``settings``
    The address to listen on, the token, the limits.
``upload``
    A request's body as an unnamed file, with a minimum speed and a maximum size.
``worker``, ``pool``
    Checks in their own processes, with limited memory and time.
``application``, ``problem``, ``openapi``
    The routes, the errors, the description.
``protocol``, ``server``
    HTTP connections that no client can keep open; start and graceful stop.

Nothing here starts QEMU, and nothing that comes over the network is executed.
"""
