"""QEMU releases against one another: a VM for each machine type and device (``--releases``)."""
