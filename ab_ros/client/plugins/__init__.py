"""What a robot adds to a run: its decoder, its deviations and its rewards."""
