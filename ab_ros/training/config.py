"""Where a training or prediction gets its settings from: environment, files, command line, code.

From the weakest to the strongest, key by key:

1. environment variables: ``AB_ROS_<KEY>``, as ``AB_ROS_URL``; for the brain also
   ``BONSAI_TRAIN_BRAIN``;
2. the section ``[DEFAULT]`` of ``~/.bonsai``, then that of ``./.bonsai``;
3. the profile's section of ``~/.bonsai``, then that of ``./.bonsai``;
4. ``./.brains``, for the brain's name;
5. the command line;
6. what the program sets.

The library's document lists the home file as a whole before the local one, and says of the brain's
name that a profile goes before ``[DEFAULT]``.  Where the home file has a key in the profile and the
local one has it in ``[DEFAULT]``, these two differ; here the profile wins, for all keys.

Nothing is ever written to these files.
"""

from __future__ import annotations

import argparse
import configparser
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ab_ros.errors import ConfigError, RecordError, one_of
from ab_ros.training.logger import Logger
from ab_ros.training.records import record_format

SETTINGS_FILE = ".bonsai"
BRAINS_FILE = ".brains"
_PREFIX = "AB_ROS_"
_COMMAND_LINE = "the command line"
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


def _flag(text: str) -> bool:
    if text.strip().lower() in _TRUE:
        return True
    if text.strip().lower() in _FALSE:
        return False
    raise ValueError(f"must be {one_of((*_TRUE, *_FALSE))}, not {text!r}")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"must be a whole number of at least 0, not {text!r}")
    return int(text)


def _version(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(
            f"must be the number of a version, not {text!r}: write --predict last, or"
            f" --predict=NUMBER"
        )
    return int(text)


def _text(text: str) -> str | None:
    return None if text.strip() in ("", "None") else text.strip()


_KEYS: Mapping[str, tuple[Callable[[str], Any], Any, str]] = {
    "url": (_text, "brains", "folder of the brains, as a path or file:// address"),
    "username": (_text, None, "account; a folder needs none"),
    "accesskey": (_text, None, "key of the account; a folder needs none"),
    "proxy": (_text, None, "address and port of a proxy; a folder needs none"),
    "brain": (_text, None, "name of the brain"),
    "predict": (_flag, False, "predict with a trained version instead of training"),
    "brain_version": (_count, 0, "version to predict with; 0 is the latest"),
    "record_file": (_text, None, "file to record to, .json or .csv"),
    "record_enabled": (_flag, None, "whether to record; by default, if there is a record file"),
    "episodes": (_count, 0, "episodes in all; 0: as the brain's definition says"),
    "resume": (_flag, False, "go on with a training that was broken off"),
    "restart": (_flag, False, "begin anew where a training was broken off"),
    "verbose": (_flag, False, "log all domains to standard error"),
}
"""How a key's text is read, its default, and what it is."""


class Config:
    """The settings of a training or prediction; see :mod:`ab_ros.training.config` for their order.

    Parameters
    ----------
    argv : as passed to ``main()``: the program's name first; unknown arguments are ignored.
    profile : section of the settings files; by default the one that their ``profile`` names.

    Attributes
    ----------
    url, username, accesskey, proxy, brain, predict, brain_version, record_file, record_enabled,
    episodes, resume, restart, verbose :
        see ``--help``; each may be set.
    profile : the profile, or None.

    Raises
    ------
    ConfigError
        naming the place, for a value that is not allowed or an unknown profile.
    RecordError
        for a record file that is neither .json nor .csv.

    Examples
    --------
    >>> config = Config(["program", "--brain", "cartpole"])
    >>> config.brain
    'cartpole'
    """

    url: str
    username: str | None
    accesskey: str | None
    proxy: str | None
    brain: str | None
    predict: bool
    brain_version: int
    record_file: str | None
    record_enabled: bool
    episodes: int
    resume: bool
    restart: bool
    verbose: bool

    def __init__(self, argv: Sequence[str] | str | None = None, profile: str | None = None) -> None:
        if isinstance(argv, str):
            argv, profile = None, argv  # Config("dev"): of one text, it is the profile.
        self._values: dict[str, Any] = {key: default for key, (_, default, _) in _KEYS.items()}
        self._places: dict[str, str] | None = {}  # where each was set; None: it is told at once
        for key, text in _environment().items():
            self._take(key, text, f"environment variable {_PREFIX}{key.upper()}")
        self.profile = self._read_files(profile)
        name = _default_brain(Path(BRAINS_FILE))
        if name is not None:
            self._set("brain", name, f"./{BRAINS_FILE}")
        if argv is not None:
            self._read_arguments(argv)
        if self.verbose:
            Logger().set_enable_all(True)
        places, self._places = self._places, None
        Logger().config("profile %s, working directory %s", self.profile or "DEFAULT", Path.cwd())
        for key, place in (places or {}).items():
            self._tell(key, place)

    @property
    def record_format(self) -> str | None:
        """``json`` or ``csv``, as the extension of the record file says; None without a file."""
        name = self._values["record_file"]
        return None if name is None else record_format(name)

    @property
    def folder(self) -> Path:
        """The folder that the url names.

        Raises
        ------
        ConfigError
            if it names something else.
        """
        url = self._values["url"] or "brains"
        parts = urlsplit(url)
        if parts.scheme == "file":
            return Path(unquote(parts.path))
        if parts.scheme in ("http", "https", "ws", "wss"):
            raise ConfigError(
                f"url: {url!r} is a server, but brains are trained in a folder: give its path, as"
                f" url = brains (brains elsewhere run by the brain node, or ab_ros.client)"
            )
        return Path(url)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in _KEYS:
            raise AttributeError(f"Config has no key {name!r}; {one_of(_KEYS)}")
        value = self._values[name]
        if name == "record_enabled" and value is None:
            return self._values["record_file"] is not None
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "record_format":
            raise AttributeError("record_format follows from record_file, and cannot be set")
        if name not in _KEYS:
            if name not in ("_values", "_places", "profile"):
                raise AttributeError(f"Config has no key {name!r}; {one_of(_KEYS)}")
            object.__setattr__(self, name, value)
            return
        if value is None or isinstance(value, Path):
            self._set(name, None if value is None else str(value))
        elif isinstance(_KEYS[name][1], bool) or name == "record_enabled":
            if not isinstance(value, bool):
                raise ConfigError(f"Config.{name}: must be true or false, not {value!r}")
            self._set(name, value)
        elif isinstance(_KEYS[name][1], int):
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ConfigError(
                    f"Config.{name}: must be a whole number of at least 0, not {value!r}"
                )
            self._set(name, value)
        else:
            if not isinstance(value, str):
                raise ConfigError(f"Config.{name}: must be text, not {value!r}")
            self._set(name, value)

    def __repr__(self) -> str:
        shown = {key: getattr(self, key) for key in _KEYS}
        if shown["accesskey"]:
            shown["accesskey"] = "***"
        lines = [f"  {key} = {value}" for key, value in shown.items()]
        return "\n".join([f"Config, profile {self.profile or 'DEFAULT'}:", *lines])

    def _set(self, key: str, value: Any, place: str = "the program") -> None:
        if key == "record_file" and value is not None:
            record_format(value)
        if value is None:
            value = _KEYS[key][1]
        self._values[key] = value
        if self._places is None:
            self._tell(key, place)
        else:
            self._places[key] = place

    def _tell(self, key: str, place: str) -> None:
        value = self._values[key]
        Logger().config("%s = %s, from %s", key, "***" if key == "accesskey" else value, place)

    def _take(self, key: str, text: str, where: str) -> None:
        try:
            value = _KEYS[key][0](text)
            if value is not None or key not in ("url",):
                self._set(key, value, where)
        except (ValueError, RecordError) as error:
            kind = RecordError if isinstance(error, RecordError) else ConfigError
            raise kind(f"{where}: {error}") from None

    def _read_files(self, profile: str | None) -> str | None:
        files = [Path.home() / SETTINGS_FILE, Path(SETTINGS_FILE)]
        read: list[tuple[Path, configparser.ConfigParser]] = []
        for path in dict.fromkeys(path.resolve() for path in files):
            parser = configparser.ConfigParser(interpolation=None)
            try:
                with open(path, encoding="utf-8") as file:
                    parser.read_file(file)
            except FileNotFoundError:
                continue
            except (OSError, UnicodeDecodeError, configparser.Error) as error:
                raise ConfigError(f"{path}: cannot be read: {error}") from None
            read.append((path, parser))
        named = next(
            (
                _text(p.defaults()["profile"])
                for _, p in reversed(read)
                if "profile" in p.defaults()
            ),
            None,
        )
        profile = profile or named
        if profile and profile != "DEFAULT":
            sections = list(dict.fromkeys(s for _, parser in read for s in parser.sections()))
            if profile not in sections:
                known = f"; {one_of(sections)}" if sections else ""
                raise ConfigError(
                    f"profile {profile!r}: neither ~/{SETTINGS_FILE} nor ./{SETTINGS_FILE} has a"
                    f" section of that name{known}"
                )
        for path, parser in read:
            self._take_section(path, "DEFAULT", parser.defaults())
        for path, parser in read:
            if profile and parser.has_section(profile):
                own = {k: parser[profile][k] for k in _own_keys(parser, profile)}
                self._take_section(path, profile, own)
        return profile

    def _take_section(self, path: Path, section: str, values: Mapping[str, str]) -> None:
        for key, text in values.items():
            if key in _KEYS:
                self._take(key, text, f"{path} [{section}] {key}")

    def _read_arguments(self, argv: Sequence[str]) -> None:
        given, _ = _parser(Path(str(argv[0])).name if argv else None).parse_known_args(
            [str(argument) for argument in argv[1:]]
        )
        for key in _KEYS:
            if key in given:
                self._set(key, getattr(given, key), _COMMAND_LINE)
        if "predict_version" in given:
            self._set("predict", True, _COMMAND_LINE)
            if given.predict_version is not None:
                self._set("brain_version", given.predict_version, _COMMAND_LINE)
        for domain in given.log if "log" in given else ():
            Logger().set_enabled(domain)


def _own_keys(parser: configparser.ConfigParser, section: str) -> list[str]:
    """Return the keys that stand in a section itself, and not only in ``[DEFAULT]``."""
    defaults = parser.defaults()
    own: Mapping[str, str] = parser._sections[section]  # type: ignore[attr-defined]
    return [key for key in parser[section] if key in own or key not in defaults]


def _environment() -> dict[str, str]:
    found = {}
    if os.environ.get("BONSAI_TRAIN_BRAIN"):
        found["brain"] = os.environ["BONSAI_TRAIN_BRAIN"]
    for key in _KEYS:
        value = os.environ.get(f"{_PREFIX}{key.upper()}")
        if value:
            found[key] = value
    return found


def _default_brain(path: Path) -> str | None:
    """Return the name of the brain that ``.brains`` marks as the default, or its only one."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    try:
        brains = json.loads(text)["brains"]
        marked = [b for b in brains if b.get("default") is True] or brains
        names = [str(brain["name"]) for brain in marked]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(
            f'{path}: must be JSON like {{"brains": [{{"name": "cartpole", "default": true}}]}}'
        ) from None
    return names[0] if len(names) == 1 else None


def _parser(program: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Settings of a training or prediction; arguments that are not listed here are"
        " the program's own.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )

    def of(read: Callable[[str], Any]) -> Callable[[str], Any]:
        def convert(text: str) -> Any:
            try:
                return read(text)
            except (ValueError, RecordError) as error:
                raise argparse.ArgumentTypeError(str(error)) from None

        return convert

    for key in ("brain", "url", "username", "accesskey", "proxy"):
        parser.add_argument(f"--{key}", metavar=key.upper(), help=_KEYS[key][2])
    parser.add_argument(
        "--predict",
        nargs="?",
        const=None,
        type=of(_version),
        dest="predict_version",
        metavar="VERSION",
        help=f"{_KEYS['predict'][2]}; the latest, or VERSION",
    )
    parser.add_argument(
        "--brain-version", type=of(_count), metavar="N", help=_KEYS["brain_version"][2]
    )
    parser.add_argument(
        "--record",
        "--record-file",
        dest="record_file",
        metavar="FILE",
        help=_KEYS["record_file"][2],
    )
    parser.add_argument("--episodes", type=of(_count), metavar="N", help=_KEYS["episodes"][2])
    parser.add_argument("--resume", action="store_true", help=_KEYS["resume"][2])
    parser.add_argument("--restart", action="store_true", help=_KEYS["restart"][2])
    parser.add_argument("--verbose", action="store_true", help=_KEYS["verbose"][2])
    parser.add_argument(
        "--log", nargs="+", metavar="DOMAIN", help="log these domains to standard error"
    )
    return parser
