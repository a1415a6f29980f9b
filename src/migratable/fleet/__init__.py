"""Many VMs and many hosts.

``model``
    VMs and hosts, read from a TOML file.
``resolve``
    The streams and profiles behind their names; destinations are started only once.
``reduce``
    What a prediction can see of a stream and of a profile, as a key.
``matrix``, ``causes``
    Every VM against every host; what refuses, and what one fix would mend.
``releases``, ``programs``, ``recipes``
    QEMU releases against one another, with a machine for each device.
``distribute``, ``results``, ``rehearsals``
    Real loads in the place of predictions, over many processes or machines, kept as they come.
``route``, ``hop``
    Hosts in between that get a VM to a destination which refuses it.
"""
