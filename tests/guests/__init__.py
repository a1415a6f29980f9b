"""Guests that ran: firmware with a disk, and a small Linux, made from Debian's packages.

``kernel`` fetches a kernel and busybox, ``initrd`` packs them with our own ``init.sh``, ``boot``
is a boot sector, ``machines`` starts them under TCG, ``saved`` keeps their streams. Everything
third-party is fetched when it is needed, into the lab's folder, and nothing of it is committed.

``python -m tests.guests`` builds them all by hand.
"""
