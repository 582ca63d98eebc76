"""The Brain port and the brains behind it."""
