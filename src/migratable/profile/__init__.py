"""A description of a destination: collected from the real program, stored as data.

``collect``, ``model``, ``store``
    Take a profile; the profile as a value; profiles stored by name.
``tables``
    The loader's tables as values.
``memory``
    The loader's tables, read from the paused process.
``bundled``
    The profiles and guests that come with the package.
"""
