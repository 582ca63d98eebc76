"""The page of results: every benchmark has a section of its own there, between marks."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path


def circumstances(target: str, packages: Sequence[str]) -> str:
    """Return a line that says how, when and on what something was measured."""
    machine = platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        names = [line for line in cpus.read_text().splitlines() if "model name" in line]
        machine = names[0].split(":")[1].strip() if names else machine
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        f"`make {target}` on {time.strftime('%Y-%m-%d')}; {machine}, {os.cpu_count()} cores, load"
        f" {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, {versions}."
    )


def write_section(page: Path, name: str, text: str) -> None:
    """Put a section into the page, in the place of the one of that name before."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    old = page.read_text(encoding="utf-8") if page.exists() else ""
    before, found, rest = old.partition(begin)
    after = rest.partition(end)[2].lstrip("\n") if found else ""
    new = f"{before.rstrip()}\n\n{begin}\n{text.strip()}\n{end}\n" + (f"\n{after}" if after else "")
    page.write_text(new.lstrip("\n"), encoding="utf-8")
