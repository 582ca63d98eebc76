"""Numbers on the command line: types for argparse, whose errors say what is allowed."""

from __future__ import annotations

import argparse
import math


def count(text: str) -> int:
    """Return a whole number of at least 0."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0 (got {text!r})")
    return int(text)


def positive(text: str) -> int:
    """Return a whole number of at least 1."""
    number = count(text)
    if not number:
        raise argparse.ArgumentTypeError("must be at least 1 (got 0)")
    return number


def seconds(text: str) -> float:
    """Return a time of more than 0 s."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0.0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a time in s, more than 0 (got {text!r})")
    return number
