"""Why something on the network failed, in the words of whoever noticed first."""

from __future__ import annotations

import errno
import os


def cause(error: BaseException) -> str:
    """Return the innermost reason of a library's error, in a few words."""
    deeper = error.__cause__ or error.__context__
    while deeper is not None:
        error, deeper = deeper, deeper.__cause__ or deeper.__context__
    # Not of all such errors is the number one of the system's: those of TLS and of names are not.
    number = error.errno if isinstance(error, OSError) else None
    if type(error).__module__ == "builtins" and number in errno.errorcode:
        return os.strerror(number or 0)
    return str(error) or type(error).__name__
