"""Where the samples of a brain's inputs come from: topics of the settings, joined to a contract."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sensor_msgs.msg import CompressedImage, Image, JointState

from ab_ros.brains.architecture import InputSettings
from ab_ros.brains.intake import KINDS, NUMBERS, IntakeSettings, check_intake, laid_over
from ab_ros.brains.mailbox import Alignment
from ab_ros.codec.field_types import declared_size, fields_of
from ab_ros.codec.fields import RANGE_LIMITS, FieldPath, FieldReader, FieldSettings
from ab_ros.codec.image_view import ImageView, apply_view
from ab_ros.codec.readings import NumberSettings
from ab_ros.codec.registry import find_encoder
from ab_ros.codec.sound_window import RATE, SoundSettings, SoundWindow
from ab_ros.config import parse, setting
from ab_ros.contract import Contract
from ab_ros.errors import ConfigError, one_of
from ab_ros.layered.numerical import BLOCK_ENCODERS
from ab_ros.nodes.message_types import find_message, has_stamp, stamp_of
from ab_ros.nodes.robot_messages import (
    forward_compressed_image,
    read_compressed_image,
    read_image,
    read_joint_state,
)
from ab_ros.nodes.sound_messages import SOUND_MESSAGES, sound_message
from ab_ros.values import Observation

Read = Callable[[Any, str], Observation]
Reader = tuple[type[Any], Read]
"""A type of messages, and what makes a sample of one for an input."""

READERS: Mapping[str, Mapping[str, Reader]] = {
    "Image": {
        "Image": (Image, read_image),
        "CompressedImage": (CompressedImage, read_compressed_image),
    },
    "Proprioception": {"JointState": (JointState, read_joint_state)},
}
"""By kind of sample: the messages that a topic may carry it in, the usual one first; numbers come
from any message, and sound is read by :mod:`ab_ros.nodes.sound_input`."""

MAX_AGE = 0.5  # s; of a sample, where nothing else is said
HISTORY = 100  # samples


@dataclass(frozen=True)
class SensorSettings(IntakeSettings):
    """Where the samples of an input of a brain file, or of a remote brain, come from.

    What is not given is as the file says, or the architecture beside a remote brain.
    """

    kind: str = setting(
        "",
        doc="What its samples are; a brain file says so itself, for a remote brain it is needed.",
        one_of=("", *KINDS),
    )
    topic: str = setting("", doc="Topic; empty: what the file says, or the input's own name.")
    max_age: float | None = setting(
        None,
        doc="Older samples are not shown to the brain; unset: what the file says, or 0.5.",
        unit="s",
        gt=0,
        le=60,
    )


@dataclass(frozen=True)
class Feed:
    """A topic whose samples a brain may see: of which kind they are, and which of them it sees.

    Parameters
    ----------
    topic, kind : of the samples.
    max_age : s; older ones are not shown.
    message : what carries them, by name; empty: the usual one of the kind.
    view : what of an image is seen.
    numbers : which numbers of a message make a sample.
    max_rate : Hz, above which samples are dropped unread; 0: none are.
    alignment : which samples are shown when.
    joints : whose states are needed, as far as that is known.
    quantity : what of them.
    sound : how sound reaches the brain.
    rate : Hz, at which it does if that is not said there.
    """

    topic: str
    kind: str
    max_age: float
    message: str = ""
    view: ImageView | None = None
    numbers: FieldSettings | None = None
    max_rate: float = 0.0
    alignment: Alignment = field(default_factory=Alignment)
    joints: tuple[str, ...] = ()
    quantity: str = "position"
    sound: SoundSettings = field(default_factory=SoundSettings)
    rate: int = RATE

    @property
    def message_type(self) -> type[Any]:
        """Class of its messages."""
        if self.kind == "Audio":
            return sound_message(self.message or SOUND_MESSAGES[0])
        return self.reader()[0]

    def window(self) -> SoundWindow:
        """Return a window for the feed's sound."""
        return self.sound.window(self.rate)

    def reader(self, remote: bool = False) -> Reader:
        """Return the type of its messages, and what reads them for a brain here or elsewhere.

        Not of sound, of which each chunk goes on where the one before ended: see
        :class:`~ab_ros.nodes.sound_input.SoundInput`.
        """
        if self.numbers is not None:
            return self._number_reader(self.numbers)
        messages = READERS[self.kind]
        message, read = messages[self.message or next(iter(messages))]
        if self.view is not None and not self.view.whole:
            return message, _viewing(read, self.view)
        if remote and message is CompressedImage:
            return message, forward_compressed_image  # it is sent as JPEG in any case
        return message, read

    def _number_reader(self, numbers: FieldSettings) -> Reader:
        message, reader = find_message(self.message), FieldReader(numbers)
        kind, stamped = self.kind, has_stamp(message)

        def read(sample: Any, id: str) -> Observation:
            values = reader.read(sample, f"input {id!r}")
            # One without a stamp is dated by whoever received it.
            return Observation(id, kind, stamp_of(sample) if stamped else 0.0, "float64", values)

        return message, read


def _viewing(read: Read, view: ImageView) -> Read:
    return lambda message, id: apply_view(read(message, id), view)


def feeds_of_file(
    inputs: Mapping[str, InputSettings],
    given: Mapping[str, SensorSettings],
    file: str = "",
    where: str = "inputs",
) -> dict[str, Feed]:
    """Return the feeds of a brain that is here, with what the settings say of its inputs.

    Parameters
    ----------
    inputs : of the brain.
    given : what the node's settings say of them.
    file : that the brain is from, for messages.
    where : the inputs stand in the settings, for messages.

    Raises
    ------
    ConfigError
        for an input that the brain does not have, or one whose samples no topic or not its message
        carries, or not in the form that its encoder takes.
    """
    for name, own in given.items():
        if name not in inputs:
            raise ConfigError(
                f"inputs.{name}: the brain in {file} has no such input;"
                f" {one_of(inputs or ['(none)'])}"
            )
        if own.kind not in ("", inputs[name].kind):
            raise ConfigError(
                f"inputs.{name}.kind: the brain in {file} takes samples of the kind"
                f" {inputs[name].kind!r}, not {own.kind!r}"
            )
    feeds = {}
    for name, item in inputs.items():
        path = f"{where}.{name}"
        chosen = _overlaid(path, item, given[name]) if name in given else item
        feeds[name] = _feed(path, chosen, *_encoded(chosen))
    return feeds


def _overlaid(path: str, item: IntakeSettings, over: IntakeSettings) -> Any:
    try:
        return laid_over(item, over)
    except ConfigError as error:
        raise ConfigError(f"{path}.{error}") from None


def _encoded(item: InputSettings) -> tuple[int, tuple[str, ...], str]:
    """Return how many numbers an input's encoder takes, 0 if any; of which joints, and what."""
    # Layered brains know encoders besides.
    encoder = BLOCK_ENCODERS.get(item.encoder) or find_encoder(item.encoder)
    settings = parse(encoder.settings_type, item.options)
    joints = tuple(getattr(settings, "joints", ()))
    count = settings.count if isinstance(settings, NumberSettings) and not joints else 0
    return count, joints, str(getattr(settings, "quantity", "position"))


def _feed(
    path: str,
    item: IntakeSettings,
    count: int = 0,
    joints: tuple[str, ...] = (),
    quantity: str = "position",
) -> Feed:
    """Return the feed of an input's settings; ``path`` is where they stand."""
    try:
        check_intake(item)
        numbers = _numbers(item, count) if item.kind in NUMBERS else None
        message = item.message if numbers is not None else _message(item)
    except ConfigError as error:
        raise ConfigError(f"{path}.{error}") from None
    return Feed(
        item.topic,
        item.kind,
        MAX_AGE if item.max_age is None else item.max_age,
        message,
        item.view,
        numbers,
        item.max_rate or 0.0,
        Alignment(item.align or "latest", item.delay or 0.0, item.history or HISTORY),
        joints if item.kind == "Proprioception" else (),
        quantity,
        item.sound or SoundSettings(),
        item.sound_rate if isinstance(item, InputSettings) else RATE,
    )


def _message(item: IntakeSettings) -> str:
    """Return the message of an input that has readers, by the short name that they have."""
    sound = item.kind == "Audio"
    messages = SOUND_MESSAGES if sound else tuple(READERS[item.kind])
    *package, name = item.message.split("/")
    known = name in messages
    if known:
        try:
            kind = sound_message(name) if sound else READERS[item.kind][name][0]
        except ConfigError as error:
            raise ConfigError(f"message: {error}") from None
        known = not package or find_message(item.message) is kind
    if item.message and not known:
        raise ConfigError(
            f"message: {item.message!r} does not carry samples of the kind {item.kind!r};"
            f" {one_of(messages)}"
        )
    return name


def _numbers(item: IntakeSettings, count: int) -> FieldSettings:
    """Return which numbers of its message an input gets; what is asked for is looked up in it."""
    for name in ("message", "fields"):
        if not getattr(item, name):
            raise ConfigError(
                f"{name}: is missing: samples of the kind {item.kind!r} are numbers of a message,"
                f" as in message: sensor_msgs/msg/Imu, fields: [angular_velocity.z]"
            )
    try:
        message = find_message(item.message)
    except ConfigError as error:
        raise ConfigError(f"message: {error}") from None
    try:
        sizes = [
            declared_size(FieldPath.parse(text), message, find_message) for text in item.fields
        ]
    except ConfigError as error:
        raise ConfigError(f"fields: {error}") from None
    if item.non_finite == "range_max" and not set(RANGE_LIMITS) <= set(fields_of(message)):
        raise ConfigError(
            f"non_finite: {item.message} has no {' and '.join(RANGE_LIMITS)}; use refuse, or"
            f" replace with a replacement"
        )
    taken = count or (1 if item.kind == "Scalar" else 0)
    by = "its encoder takes" if count else "a Scalar is"
    if taken and item.size not in (None, taken):
        raise ConfigError(f"size: is {item.size}, but {by} {taken}")
    size = item.size or taken
    fixed = sum(known for known in sizes if known is not None)
    varies = None in sizes
    if size and (fixed > size if varies else fixed != size):
        parts = zip(item.fields, sizes, strict=True)
        told = ", ".join(f"{text} {'some' if n is None else n}" for text, n in parts)
        wanted = f"{by} {size}" if size == taken else f"size is {size}"
        raise ConfigError(
            f"fields: lead to {'at least ' if varies else ''}{fixed} numbers ({told}), but"
            f" {wanted}" + (": set its option 'values'" if count else "")
        )
    return dataclasses.replace(item.numbers(), size=size or (0 if varies else fixed))


def feeds_of_settings(
    given: Mapping[str, SensorSettings],
    architecture: Mapping[str, InputSettings],
    joints: Mapping[str, tuple[str, ...]] | None = None,
) -> dict[str, Feed]:
    """Return the feeds of a brain elsewhere, whose contract is not known yet.

    The inputs of an architecture, where there is one, go for those that are not given: a robot's
    file need not change with the place of its brain.

    Parameters
    ----------
    given : the settings' inputs.
    architecture : those of an architecture beside them.
    joints : that are sent, by input.

    Raises
    ------
    ConfigError
        if there is none, or one does not say what its samples are, or its message does not carry
        them.
    """
    feeds = {}
    for name in dict.fromkeys((*architecture, *given)):
        known, own = architecture.get(name), given.get(name)
        path = f"{'architecture.' if own is None else ''}inputs.{name}"
        # Of the architecture's there may be an encoder, which is not used here.
        item: IntakeSettings = known or SensorSettings()
        if own is not None:
            item = _overlaid(path, item, own)
        if not item.kind:
            raise ConfigError(
                f"inputs.{name}.kind: a remote brain is not known before it runs; {one_of(KINDS)}"
            )
        item = dataclasses.replace(item, topic=item.topic or name)
        feeds[name] = _feed(path, item, joints=(joints or {}).get(name, ()))
    if not feeds:
        raise ConfigError(
            "inputs: a remote brain needs them by id, as in {camera: {kind: Image, topic: image}}"
        )
    return feeds


def alignments_of(feeds: Mapping[str, Feed], lockstep: bool) -> dict[str, Alignment]:
    """Return which samples of each feed are shown when.

    In real time a cycle asks for nothing that lies further back than the oldest sample that any
    input may show; in lockstep, where no sample is too old, nothing says how far that is.
    """
    if lockstep:
        return {name: feed.alignment for name, feed in feeds.items()}
    oldest = max((feed.max_age for feed in feeds.values()), default=0.0)
    return {
        name: dataclasses.replace(feed.alignment, horizon=feed.alignment.delay + oldest)
        for name, feed in feeds.items()
    }


def check_feeds(feeds: Mapping[str, Feed], lockstep: bool, where: str = "inputs") -> None:
    """Refuse feeds that do not go with the pacing.

    Raises
    ------
    ConfigError
        for a rate that is to be kept in lockstep of messages that do not say when they were made,
        or one at which samples are too old before the next one is let through.
    """
    for name, feed in feeds.items():
        message = feed.message_type
        if lockstep and feed.max_rate and not has_stamp(message):
            raise ConfigError(
                f"{where}.{name}.max_rate: cannot be kept in lockstep, as {message.__name__} has no"
                f" stamp"
            )
        repeated = feed.max_rate and not lockstep and feed.alignment.align != "drop"
        if repeated and feed.max_rate * feed.max_age < 1.0:
            raise ConfigError(
                f"{where}.{name}.max_rate: samples of {feed.max_rate:g} Hz are too old before the"
                f" next one comes: max_age is {feed.max_age:g} s; make it longer than"
                f" {1.0 / feed.max_rate:.3g} s"
            )


@dataclass(frozen=True)
class Joining:
    """Which feed serves which input of a contract, and sentences on what does not fit."""

    feed_of: Mapping[str, str]
    troubles: tuple[str, ...] = ()

    @property
    def feeds(self) -> tuple[str, ...]:
        """The feeds that serve an input, each once."""
        return tuple(dict.fromkeys(self.feed_of.values()))


def join(contract: Contract, feeds: Mapping[str, Feed]) -> Joining:
    """Find the feed of each input: the one of its id, else the first of its kind without an id."""
    ids = {port.id for port in contract.inputs}
    by_kind: dict[str, str] = {}
    for name, feed in feeds.items():
        if name not in ids:
            by_kind.setdefault(feed.kind, name)
    feed_of: dict[str, str] = {}
    troubles = []
    for port in contract.inputs:
        chosen = port.id if port.id in feeds else by_kind.get(port.kind)
        if chosen is None:
            kind = f" of the kind {port.kind!r}" if port.kind else ""
            troubles.append(f"nothing in 'inputs' feeds the brain's input {port.id!r}{kind}")
            continue
        feed_of[port.id] = chosen
        if port.kind and port.kind != feeds[chosen].kind:
            troubles.append(
                f"inputs.{chosen}.kind is {feeds[chosen].kind!r}, but the brain's input is of the"
                f" kind {port.kind!r}"
            )
    for name in feeds:
        if name not in feed_of.values():
            troubles.append(
                f"inputs.{name}: the brain has no such input; {one_of(sorted(ids) or ['(none)'])}"
            )
    return Joining(feed_of, tuple(troubles))
