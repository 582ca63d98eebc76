"""How samples of an input are taken from its topic, as settings."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TypeVar

from ab_ros.brains.mailbox import ALIGNMENTS
from ab_ros.codec.fields import NON_FINITE, NON_FINITE_DOC, FieldPath, FieldSettings
from ab_ros.codec.image_view import ImageView
from ab_ros.codec.sound_window import SoundSettings
from ab_ros.config import setting
from ab_ros.errors import ConfigError

KINDS = ("Image", "Proprioception", "Audio", "Vector", "Scalar")
"""What the samples of an input can be."""

NUMBERS = ("Vector", "Scalar")
"""Kinds whose samples are numbers of any message."""

S = TypeVar("S", bound="IntakeSettings")


@dataclass(frozen=True)
class IntakeSettings:
    """Which samples of a topic a brain sees, and what of them."""

    kind: str = setting("", doc="What the samples are.", one_of=("", *KINDS))
    topic: str = setting("", doc="Topic that they come from.")
    message: str = setting(
        "",
        doc="Message that the topic carries, as CompressedImage, or for Vector and Scalar any as"
        " <package>/msg/<Type>; empty: the usual one of the kind.",
    )
    max_age: float | None = setting(
        None, doc="Older samples are not shown to the brain.", unit="s", gt=0, le=60
    )
    max_rate: float | None = setting(
        None,
        doc="Samples beyond this rate are dropped, all but joint states and sound unread; 0 or"
        " unset: none.",
        unit="Hz",
        ge=0,
        le=100_000,
    )
    align: str = setting(
        "",
        doc="latest: the newest sample is shown; asof: the newest one that is not younger than the"
        " oldest among the newest samples of all inputs; drop: each sample is shown in one cycle"
        " only, then the input is silent; empty: latest.",
        one_of=("", *ALIGNMENTS),
    )
    delay: float | None = setting(
        None, doc="The input is seen as it was that long ago; unset: 0.", unit="s", ge=0, le=60
    )
    history: int | None = setting(
        None,
        doc="Samples that are kept for delay and asof, the oldest being dropped; unset: 100.",
        ge=1,
        le=100_000,
    )
    view: ImageView | None = setting(None, doc="What of an image is seen.")
    sound: SoundSettings | None = setting(None, doc="How sound reaches the brain.")
    fields: tuple[str, ...] = setting(
        (),
        doc="Numbers of a Vector or Scalar: paths of the message's fields, one after the other, as"
        " twist.twist.linear.x, ranges[*] or data[2:5].",
    )
    size: int | None = setting(
        None,
        doc="How many numbers these are, where lists vary in length; unset: as many as the encoder"
        " takes, else as the first sample has. Samples of another size are refused.",
        ge=1,
        le=1_000_000,
    )
    non_finite: str = setting("", doc=f"{NON_FINITE_DOC}.", one_of=NON_FINITE)
    replacement: float | None = setting(
        None, doc="What replaces numbers that are not finite, by the rules replace and range_max."
    )

    def __post_init__(self) -> None:
        for text in self.fields:
            FieldPath.parse(text)

    def numbers(self) -> FieldSettings:
        """Return which numbers of a message make a sample."""
        return FieldSettings(self.fields, self.size or 0, self.non_finite, self.replacement)


def check_intake(settings: IntakeSettings) -> None:
    """Refuse settings of an input that do not go together, or not with its kind.

    Raises
    ------
    ConfigError
        whose sentence begins with the setting.
    """
    s = settings
    if s.view is not None and s.kind != "Image":
        raise ConfigError(f"view: is for inputs of the kind Image, not {s.kind}")
    if s.sound is not None and s.kind != "Audio":
        raise ConfigError(f"sound: is for inputs of the kind Audio, not {s.kind}")
    if s.kind not in NUMBERS:
        for name in ("fields", "size", "non_finite", "replacement"):
            if not _unset(getattr(s, name)):
                raise ConfigError(
                    f"{name}: is for inputs of the kind {' or '.join(NUMBERS)}, not {s.kind}"
                )
    if s.fields:
        s.numbers()
    if s.history is not None and s.align != "asof" and not s.delay:
        raise ConfigError("history: is for inputs with a delay, or with align: asof")


def _unset(value: object) -> bool:
    return value is None or value in ("", ())


def laid_over(settings: S, over: IntakeSettings) -> S:
    """Return settings with those of another object that are set there.

    Raises
    ------
    ConfigError
        if they do not go together; see :func:`check_intake`.
    """
    names = [item.name for item in dataclasses.fields(IntakeSettings)]
    given = {name: getattr(over, name) for name in names if not _unset(getattr(over, name))}
    return dataclasses.replace(settings, **given)
