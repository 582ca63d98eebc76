"""Classes of the messages that ``records.proto`` describes, made from its text at run time.

Code that protoc generates works only with the versions of the library that it was made for, and
ROS 2 distributions have several of them.  Descriptors are the same in all: those of the file are
built by reading it.  What is read is the part of the language that the file uses: messages of
scalar, repeated and message fields, with comments.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ab_ros.errors import RecordError

PROTO = Path(__file__).parent / "records.proto"
_TOKEN = re.compile(r'//[^\n]*|\s+|"[^"\n]*"|[A-Za-z_][\w.]*|\d+|[{}=;]')
_SCALARS = ("double", "uint64", "uint32", "fixed32", "string", "bytes", "float", "bool", "int64")


@functools.cache
def message_class(name: str) -> Any:
    """Return the class of a message, such as ``Snapshot``.

    Raises
    ------
    RecordError
        if the library protobuf is not installed.
    """
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise RecordError(
            f"protocol buffer files need protobuf ({error}): pip install 'ab_ros[record]'"
        ) from None
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto()
    describe(PROTO.read_text(encoding="utf-8"), file, str(PROTO))
    pool.AddSerializedFile(file.SerializeToString())
    descriptor = pool.FindMessageTypeByName(f"{file.package}.{name}")
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(pool).GetPrototype(descriptor)  # before 4.22


def describe(text: str, file: Any, where: str = "records.proto") -> None:
    """Fill a FileDescriptorProto from the text of a .proto file.

    Raises
    ------
    RecordError
        for what is not in the part of the language that is read.
    """
    words = _Words(text, where)
    file.name = "ab_ros/layered/records.proto"
    names = set(re.findall(r"^message (\w+)", text, re.MULTILINE))
    while (word := words.next_or_none()) is not None:
        if word == "syntax":
            words.expect("=")
            file.syntax = words.next().strip('"')
            words.expect(";")
        elif word == "package":
            file.package = words.next()
            words.expect(";")
        elif word == "message":
            _describe_message(words, file, names)
        else:
            raise words.trouble(word)


def _describe_message(words: _Words, file: Any, names: set[str]) -> None:
    message = file.message_type.add(name=words.next())
    words.expect("{")
    while (word := words.next()) != "}":
        repeated = word == "repeated"
        kind = words.next() if repeated else word
        field = message.field.add(name=words.next())
        words.expect("=")
        field.number = int(words.next())
        words.expect(";")
        field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
        field.json_name = re.sub(r"_(\w)", lambda m: m.group(1).upper(), field.name)
        if kind in _SCALARS:
            field.type = getattr(field, f"TYPE_{kind.upper()}")
        elif kind in names:
            field.type = field.TYPE_MESSAGE
            field.type_name = f".{file.package}.{kind}"
        else:
            raise words.trouble(kind)


class _Words:
    """The words of a .proto file, without comments."""

    def __init__(self, text: str, where: str) -> None:
        self._where = where
        self._line = 1
        self._words = self._split(text)

    def _split(self, text: str) -> Iterator[str]:
        place = 0
        while place < len(text):
            found = _TOKEN.match(text, place)
            if found is None:
                raise self.trouble(text[place])
            place = found.end()
            word = found.group()
            if not (word.isspace() or word.startswith("//")):
                yield word
            self._line += word.count("\n")

    def next_or_none(self) -> str | None:
        return next(self._words, None)

    def next(self) -> str:
        word = self.next_or_none()
        if word is None:
            raise self.trouble("the end of the file")
        return word

    def expect(self, wanted: str) -> None:
        word = self.next()
        if word != wanted:
            raise RecordError(f"{self._where}:{self._line}: expected {wanted!r}, not {word!r}")

    def trouble(self, word: str) -> RecordError:
        return RecordError(f"{self._where}:{self._line}: {word!r} cannot be read here")
