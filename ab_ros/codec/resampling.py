"""Sound at another sample rate, chunk by chunk, as if it had come in one piece."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ab_ros.errors import ConfigError

_ZEROS = 16
"""Zero crossings of the low-pass filter's impulse response on either side."""
_KAISER = 8.0
"""Shape of its window: 80 dB between pass band and stop band."""


class StreamResampler:
    """Changes the sample rate of a stream by a rational factor.

    The sound is upsampled, filtered by a linear-phase low pass (a sinc in a Kaiser window, cut off
    at half the lower rate) and downsampled, all in one polyphase filter (``scipy.signal.upfirdn``;
    R. E. Crochiere, L. R. Rabiner, "Multirate Digital Signal Processing", 1983).  What the filter
    still needs of a chunk is kept for the next one, so that the result does not depend on how a
    stream is cut into chunks, and no border can be heard.  A sample comes out when the filter's
    half length has come in: 16 samples at the lower rate later.

    Parameters
    ----------
    given, wanted : samples per second, integers greater than 0; not the same.

    Raises
    ------
    ConfigError
        if SciPy is not installed.
    """

    def __init__(self, given: int, wanted: int) -> None:
        try:
            from scipy import signal
        except ImportError as error:
            raise ConfigError(
                f"sound of {given} Hz cannot be brought to {wanted} Hz: SciPy is not installed"
                f" ({error}); install python3-scipy (pip: scipy), or let the source give"
                f" {wanted} Hz"
            ) from None
        self._upfirdn = signal.upfirdn
        divisor = math.gcd(given, wanted)
        self._up, self._down = wanted // divisor, given // divisor
        largest = max(self._up, self._down)
        # A multiple of the downsampling, so that the delay is a whole number of samples.
        self._lag = -(-_ZEROS * largest // self._down)
        half = self._lag * self._down
        window = ("kaiser", _KAISER)
        taps = signal.firwin(2 * half + 1, 1.0 / largest, window=window)
        self._taps = np.asarray(self._up * taps, np.float64)
        self.reset()

    def reset(self) -> None:
        """Forget what came before."""
        self._kept = np.zeros(0)
        self._first = 0  # index of the first kept sample, a multiple of the downsampling
        self._made = 0  # samples so far, those of the filter's delay included

    def process(self, chunk: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the samples, float64[m], that a chunk, float64[n], completes."""
        sound = np.concatenate((self._kept, chunk))
        up, down = self._up, self._down
        end = self._first + sound.size
        # Output q takes the inputs k with q · down - taps < k · up <= q · down.
        count = max(self._made, -(-end * up // down))
        offset = self._first // down * up
        filtered = self._upfirdn(self._taps, sound, up, down) if sound.size else sound
        made = filtered[self._made - offset : count - offset]
        skipped = min(max(self._lag - self._made, 0), made.size)
        self._made = count
        oldest = max(0, (count * down - self._taps.size) // up)
        first = max(self._first, oldest // down * down)
        self._kept = sound[first - self._first :]
        self._first = first
        return np.asarray(made[skipped:])
