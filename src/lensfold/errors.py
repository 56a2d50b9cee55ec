"""The one exception a user is meant to read."""


class InputError(Exception):
    """Something the user gave is wrong.

    The message names the file, row or key, what was found, what was expected and what to do.
    The command line prints it without a traceback and exits with status 1.
    """
