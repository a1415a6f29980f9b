"""Many VMs and many hosts.

``model``, ``parts``
    VMs and hosts, read from a TOML file; what pairs are made of.
``resolve``, ``destinations``
    The streams and profiles behind their names; destinations are started only once.
``reduce``, ``ready``, ``watch``, ``memo``
    What a prediction can see of a stream and of a profile, as a key; what it did look at.
``matrix``, ``pairs``, ``answers``, ``causes``, ``remedies``, ``document``
    Every VM against every host; what refuses, what one fix would mend; the result as a file.
``releases``, ``programs``, ``recipes``
    QEMU releases against one another, with a VM for each machine type and device.
``rehearsals``, ``distribute``, ``results``, ``at_hand``
    The same in the real programs, spread over processes and machines.
``route``, ``hop``
    The shortest chain of hosts.
"""
