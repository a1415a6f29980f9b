"""Make a command line inert: nothing of the host is opened, joined or written.

One module for each kind of option: ``machine``, ``block``, ``netdev``, ``backend``, ``device``;
``inert`` walks over the command line.
"""
