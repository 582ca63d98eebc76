"""Numbers on the command line: types for argparse, whose errors say what is allowed."""

from __future__ import annotations

import argparse


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
