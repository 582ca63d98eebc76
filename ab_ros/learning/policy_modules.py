"""Importing a user's policy folder: afresh each time, and apart from every other one.

A policy says ``from policies._contract import STDP3_LAYERS``, ``from _contract import …`` or
``from ._contract import …``: all three mean the file beside it, whatever the folder is called,
whatever else the process has imported under these names, and however often the folder is loaded.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import itertools
import re
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

PACKAGE = "policies"
"""The name by which policies call the folder that they stand in."""

_PREFIX = "_ab_ros_policies_"
_count = itertools.count(1)
_folders: weakref.WeakValueDictionary[str, PolicyModules] = weakref.WeakValueDictionary()


class PolicyModules:
    """The modules of one folder, each imported from its source when it is first asked for.

    They are forgotten when this object is: who keeps a function of theirs keeps the object.

    Parameters
    ----------
    folder : where the policies stand.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._package = f"{_PREFIX}{next(_count)}"
        self._builtins = {**vars(builtins), "__import__": _importer(weakref.ref(self))}
        _folders[self._package] = self
        weakref.finalize(self, _forget, self._package).atexit = False
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)
        importlib.invalidate_caches()

    def load(self, path: Path) -> ModuleType:
        """Return the module of a file of the folder; raises whatever the file raises."""
        importlib.import_module(self._package)
        name = f"{self._package}.{re.sub(r'[^0-9A-Za-z_]', '_', path.stem)}"
        if name in sys.modules:
            return sys.modules[name]
        spec = self._spec(name, str(path))
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        return module

    def find(self, name: str, path: Sequence[str] | None) -> ModuleSpec | None:
        """Return the spec of the package or of one of its modules."""
        if name == self._package:
            init = self.folder / "__init__.py"
            if init.is_file():
                return self._spec(name, str(init), package=True)
            spec = ModuleSpec(name, None, is_package=True)
            spec.submodule_search_locations = [str(self.folder)]
            return spec
        found = PathFinder.find_spec(name, path)
        if found is None or not isinstance(found.loader, SourceFileLoader):
            return found
        package = found.submodule_search_locations is not None
        return self._spec(name, found.loader.path, package)

    def _spec(self, name: str, path: str, package: bool = False) -> ModuleSpec | None:
        return importlib.util.spec_from_file_location(
            name,
            path,
            loader=_FreshLoader(name, path, self._builtins),
            submodule_search_locations=[str(Path(path).parent)] if package else None,
        )

    def resolve(self, name: str) -> tuple[str, str] | None:
        """Return the real names of a module and of its top package; None if it is not here."""
        top, _, below = name.partition(".")
        if top == PACKAGE or (not self._has(top) and self._is_own_name(top)):
            return (f"{self._package}.{below}" if below else self._package), self._package
        if self._has(top):
            return f"{self._package}.{name}", f"{self._package}.{top}"
        return None

    def _has(self, top: str) -> bool:
        if top in sys.stdlib_module_names:
            return False
        package = self.folder / top / "__init__.py"
        return (self.folder / f"{top}.py").is_file() or package.is_file()

    def _is_own_name(self, top: str) -> bool:
        # A folder that happens to be called like an installed package does not hide it.
        return (
            top == self.folder.name
            and top not in sys.stdlib_module_names
            and _installed(top) is None
        )


class _FreshLoader(SourceFileLoader):
    """Loads from source and never from a cache, which would miss a change within one second."""

    def __init__(self, name: str, path: str, own_builtins: Mapping[str, Any] | None = None) -> None:
        super().__init__(name, path)
        self._builtins = own_builtins

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code

    def exec_module(self, module: ModuleType) -> None:
        if self._builtins is not None:
            vars(module)["__builtins__"] = dict(self._builtins)
        super().exec_module(module)


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(_PREFIX):
            return None
        modules = _folders.get(fullname.partition(".")[0])
        return None if modules is None else modules.find(fullname, path)


_finder = _Finder()


def import_again(name: str) -> ModuleType:
    """Import a module by name from its source once more; the earlier one stays if that fails."""
    old = sys.modules.get(name)
    spec = None if old is None else old.__spec__
    path = "" if spec is None else spec.origin or ""
    if old is None or spec is None or not path.endswith(".py"):
        importlib.invalidate_caches()
        return importlib.import_module(name)
    package = [str(Path(path).parent)] if spec.submodule_search_locations is not None else None
    fresh = importlib.util.spec_from_file_location(
        name, path, loader=_FreshLoader(name, path), submodule_search_locations=package
    )
    assert fresh is not None and fresh.loader is not None
    module = importlib.util.module_from_spec(fresh)
    sys.modules[name] = module
    try:
        fresh.loader.exec_module(module)
    except BaseException:
        sys.modules[name] = old
        raise
    return module


def _importer(owner: weakref.ref[PolicyModules]) -> Callable[..., ModuleType]:
    """Return an ``__import__`` that looks into the owner's folder first, while there is one."""

    def import_(
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        modules = owner()
        found = modules.resolve(name) if modules is not None and level == 0 else None
        if found is None:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        real, top = found
        module = importlib.import_module(real)
        if not fromlist:
            return importlib.import_module(top)
        for item in fromlist:
            inner = f"{real}.{item}"
            package = hasattr(module, "__path__") and not hasattr(module, item)
            if package and importlib.util.find_spec(inner) is not None:
                importlib.import_module(inner)
        return module

    return import_


def _installed(top: str) -> ModuleSpec | None:
    spec = PathFinder.find_spec(top)
    return spec if spec is not None and spec.origin is not None else None


def _forget(package: str) -> None:
    for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
        del sys.modules[name]
