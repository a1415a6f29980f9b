"""The differential campaign: predictions compared with real releases, on random machines.

``inventory`` asks the releases for their machines and devices, ``generate`` makes machines from
``kinds.toml``, ``mutate`` changes them, ``runner`` saves and loads them with real QEMU, ``cache``
keeps QEMU's results, ``judge`` predicts and compares, ``report`` counts. :mod:`migratable.lab`
finds the releases.
"""
