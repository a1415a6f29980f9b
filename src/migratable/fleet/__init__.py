"""Many VMs and many hosts.

``model``
    VMs and hosts, read from a TOML file.
``resolve``
    The streams and profiles behind their names; destinations are started only once.
``reduce``
    What a prediction can see of a stream and of a profile, as a key.
``matrix``, ``causes``
    Every VM against every host; what refuses, and what one fix would mend.
``junit``
    For continuous integration.
"""
