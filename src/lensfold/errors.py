"""The one exception a user is meant to read, and what is said to one who stops a command."""

#: after Ctrl-C
STOPPED = "stopped; the same command goes on from the last finished step"


class InputError(Exception):
    """Something the user gave is wrong.

    The message names the file, row or key, what was found, what was expected and what to do.
    The command line prints it without a traceback and exits with status 1.
    """
