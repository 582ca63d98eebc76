"""Encoders turn sensor samples into spikes, decoders turn spikes into changes of channels."""
