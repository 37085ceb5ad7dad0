"""The errors that users are meant to read."""


class InputError(ValueError):
    """What is wrong, where, and what to do, in one line.

    The commands print it without a traceback and exit with code 2.
    """


class Interrupted(InputError):
    """Why work stopped half-way. What is done is kept, for ``--resume``."""


class Skipped(InputError):
    """Why one photo cannot be used. In a run of many it is recorded and the run goes on."""
