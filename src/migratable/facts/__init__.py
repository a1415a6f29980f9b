"""Facts about QEMU as data, each in one place, with its origin."""
