"""A policy folder: files that say what the brain takes and gives, beside those of the user's.

========================= ======================= ===========================================
file                      written                 what it is
========================= ======================= ===========================================
_contract.json            by every sync           the contract, for people and other programs
_contract.py              by every sync           its ids, for policies to import
_contract.sha256          by every sync           its digest
reward_policy.py          if there is none yet    the user's ``compute_reward``
error_deviation_policy.py if there is none yet    the user's ``compute_deviation``
========================= ======================= ===========================================
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ab_ros.contract import Contract
from ab_ros.contract_changes import contract_changes
from ab_ros.engine.atomic import replaced
from ab_ros.errors import ConfigError, ContractError
from ab_ros.learning.policies import DEVIATION_FILE, REWARD_FILE
from ab_ros.learning.policy_templates import DEVIATION, REWARD, contract_module

JSON_FILE = "_contract.json"
MODULE_FILE = "_contract.py"
DIGEST_FILE = "_contract.sha256"
_LARGEST = 1 << 24
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class SyncReport:
    """What a sync did.

    Parameters
    ----------
    folder : the policy folder.
    digest : of the contract that stands there now.
    earlier : digest of the one that stood there before; empty if there was none.
    changes : what differs between the two, in sentences.
    written : names of the files that were written.
    kept : names of the user's files that were there and were not touched.
    """

    folder: Path
    digest: str
    earlier: str
    changes: tuple[str, ...]
    written: tuple[str, ...]
    kept: tuple[str, ...]

    @property
    def changed(self) -> bool:
        """Whether another contract stood there before."""
        return bool(self.changes)


def sync_policies(contract: Contract, folder: str | Path) -> SyncReport:
    """Write the contract into a policy folder; make the policies that it lacks.

    The contract's files are replaced one by one, each as a whole. A policy is only ever created:
    whatever is at its place, be it empty or a link to nowhere, stays as it is.

    Raises
    ------
    ConfigError
        if the folder cannot be written.
    """
    place = Path(folder).expanduser()
    earlier, changes = _earlier(place, contract)
    body = {**json.loads(contract.canonical()), "sha256": contract.sha256}
    files = {
        JSON_FILE: json.dumps(body, indent=2, ensure_ascii=False) + "\n",
        MODULE_FILE: contract_module(contract),
        DIGEST_FILE: f"{contract.sha256}\n",
    }
    written, kept = [*files], list[str]()
    try:
        for name, text in files.items():
            with replaced(place / name) as temporary:
                temporary.write_bytes(text.encode())
        # Python takes a cached module for current if size and second of its source are the same.
        cached = Path(importlib.util.cache_from_source(str(place / MODULE_FILE)))
        cached.unlink(missing_ok=True)
        for name, text in ((REWARD_FILE, REWARD), (DEVIATION_FILE, DEVIATION)):
            (written if _create(place / name, text) else kept).append(name)
    except OSError as error:
        raise ConfigError(
            f"policy folder {place}: cannot be written: {error.strerror or error}"
        ) from None
    return SyncReport(place, contract.sha256, earlier, changes, tuple(written), tuple(kept))


def read_contract(folder: str | Path) -> Contract:
    """Read the contract of a policy folder.

    Raises
    ------
    ContractError
        if the folder has none, or its files are broken or do not fit each other.
    """
    place = Path(folder).expanduser()
    contract = _read_json(place / JSON_FILE)
    for name in (DIGEST_FILE, MODULE_FILE):
        digest = _digest_in(place / name)
        if digest and digest != contract.sha256:
            raise ContractError(
                f"{place / name}: is of another contract ({digest[:8]}…) than {JSON_FILE}"
                f" ({contract.sha256[:8]}…): run 'ab_ros policies sync'"
            )
    return contract


def contract_complaints(folder: str | Path, running: Contract) -> tuple[str, ...]:
    """Return how the contract of a policy folder differs from that of the running brain.

    Sentences, for people; empty if the two have the same digest.
    """
    try:
        own = read_contract(folder)
    except ContractError as error:
        return (str(error),)
    return contract_changes(own, running)


def _earlier(place: Path, contract: Contract) -> tuple[str, tuple[str, ...]]:
    if not (place / JSON_FILE).exists():
        return "", ()
    try:
        old = _read_json(place / JSON_FILE)
    except ContractError as error:
        return "", (f"the earlier contract cannot be read: {error}",)
    return old.sha256, contract_changes(old, contract)


def _read_json(path: Path) -> Contract:
    try:
        return Contract.from_json(_read(path))
    except FileNotFoundError:
        raise ContractError(f"{path}: is missing: run 'ab_ros policies sync'") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ContractError(f"{path}: cannot be read: {error}") from None
    except ContractError as error:
        raise ContractError(f"{path}: {error}") from None


def _digest_in(path: Path) -> str:
    """Return the first digest in a file; empty if it has none, or there is no such file."""
    try:
        found = _DIGEST.search(_read(path))
    except (OSError, UnicodeDecodeError):
        return ""
    return found.group() if found else ""


def _read(path: Path) -> str:
    with path.open("rb") as stream:
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ContractError(f"{path}: is larger than {_LARGEST >> 20} MiB")
    return data.decode()


def _create(path: Path, text: str) -> bool:
    """Make a file; False if anything is there already, even a link to nowhere."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    try:
        with open(handle, "wb") as stream:
            stream.write(text.encode())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return True
