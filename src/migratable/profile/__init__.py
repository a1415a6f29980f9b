"""What a destination is: collected from the real program, stored as data.

``commandline``
    Read a QEMU command line as people have it; make it inert.
``qemu``
    Start and stop an inert QEMU.
``collect``, ``model``, ``store``
    Take a profile; the profile as a value; profiles kept by name.
``memory``
    The loader's own tables, read from the paused process.
"""
