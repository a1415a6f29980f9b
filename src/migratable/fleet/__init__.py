"""Many VMs and many hosts.

``model``, ``entities``
    VMs and hosts, read from a TOML file; the two parts of a pair.
``resolve``, ``destinations``
    The streams and profiles behind their names; each destination is started once.
``matrix``, ``pairs``, ``cells``, ``causes``, ``remedies``, ``way_back``, ``document``
    Every VM against every host; the causes of refusals and the effect of each fix; the result file.
``rehearsals``, ``distribute``, ``results``
    The same with the real programs, spread over processes and machines.

Equal VMs are recognised by :mod:`migratable.check.cache`.
"""
