"""What a QEMU that is started may touch, enforced by the kernel: run by ``launcher.py`` alone.

These modules live in the process that becomes QEMU. They import the standard library only, and
of that as little as they can: they are in the time of every start.
"""
