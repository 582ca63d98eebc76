"""Find a Python that ab_ros can use, and the compilers that its messages need."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SUPPORTED = ("3.13", "3.12", "3.11", "3.10")


class SetupError(Exception):
    """A reason, in one sentence, why the workspace cannot be made."""


PROBE = """
import os, sys, sysconfig
# In a virtual environment, ours among them, the Python that it was made with.
print(os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable))
print("%d.%d" % sys.version_info[:2])
try:
    import ensurepip, venv
    print("yes")
except ImportError:
    print("no")
print("yes" if os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")) else "no")
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python that was found, and what keeps it from being used (empty if nothing does)."""

    path: str
    version: str
    problem: str


def probe(command: str) -> Interpreter | None:
    """Look at an interpreter; None if there is no such program."""
    path = shutil.which(command)
    if path is None:
        return None
    # -I: neither PYTHONPATH nor the current folder may answer for the interpreter.
    answer = subprocess.run([path, "-I", "-c", PROBE], capture_output=True, text=True, check=False)
    lines = answer.stdout.splitlines()
    if answer.returncode or len(lines) != 4:
        return Interpreter(path, "", f"{path} does not run as a Python 3")
    base, version, has_venv, has_headers = lines
    if version not in SUPPORTED:
        problem = (
            f"{path} is Python {version}, but ab_ros needs Python {SUPPORTED[-1]} to {SUPPORTED[0]}"
        )
    elif has_venv == "no":
        problem = (
            f"{path} cannot make virtual environments: install its venv package "
            f"(Debian, Ubuntu: apt install python{version}-venv)"
        )
    elif has_headers == "no":
        problem = (
            f"{path} has no header files, which the messages are compiled with: install them "
            f"(Debian, Ubuntu: apt install python{version}-dev)"
        )
    else:
        problem = ""
    return Interpreter(base, version, problem)


def choose_interpreter(wanted: str | None) -> Interpreter:
    """Pick ``wanted``, else python3, else the newest supported Python that has all it takes.

    Raises
    ------
    SetupError
        If none can be used; it says why the first one found cannot.
    """
    if wanted:
        found = probe(wanted)
        if found is None:
            raise SetupError(f"PYTHON={wanted}: there is no such program")
        if found.problem:
            raise SetupError(f"PYTHON={wanted}: {found.problem}")
        return found
    problems = []
    for command in ("python3", *(f"python{version}" for version in SUPPORTED)):
        found = probe(command)
        if found is None:
            continue
        if not found.problem:
            return found
        problems.append(found.problem)
    if not problems:
        raise SetupError(f"there is no Python {SUPPORTED[-1]} to {SUPPORTED[0]} on PATH")
    raise SetupError(problems[0])


def choose_compiler() -> None:
    """Refuse to go on without a C and a C++ compiler."""
    for variable, command, language in (("CC", "cc", "C"), ("CXX", "c++", "C++")):
        wanted = shlex.split(os.environ.get(variable, "")) or [command]
        if shutil.which(wanted[0]) is None:
            raise SetupError(
                f"there is no {language} compiler ({wanted[0]}), which the ROS 2 messages need: "
                "install one (Debian, Ubuntu: apt install g++)"
            )


def imports(python: str | Path, module: str, environment: Mapping[str, str]) -> bool:
    """Whether an interpreter can import a module."""
    command = [str(python), "-c", f"import {module}"]
    return not subprocess.run(command, capture_output=True, env=environment, check=False).returncode
