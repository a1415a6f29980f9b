"""The QEMU program: start it paused and inert, control it over QMP, save, load, end it."""
