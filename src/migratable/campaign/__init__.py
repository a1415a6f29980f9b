"""The differential campaign: random machines on real releases, predictions beside what happened.

``inventory`` asks the releases what they have, ``generate`` makes machines from ``kinds.toml`` and
``mutate`` changes them, ``runner`` saves and loads them with real QEMU, ``cache`` keeps what
happened, ``judge`` predicts and compares, ``report`` counts. The releases are found by
:mod:`migratable.lab`.
"""
