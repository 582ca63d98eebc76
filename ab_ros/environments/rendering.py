"""Camera images of a MuJoCo world, with or without OpenGL.

Three back ends give the same picture: ``egl`` and ``osmesa`` (OpenGL without a display) and
``rays`` (``mj_multiRay``, which needs no library at all).  A missing library makes the *import* of
an OpenGL platform fail and leaves it half loaded, therefore :func:`choose_backend` tries each in a
process of its own.
"""

from __future__ import annotations

import importlib
import math
import os
import subprocess
import sys
import threading
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from ab_ros.errors import ConfigError, WorldError, one_of

BACKENDS = ("egl", "osmesa", "rays")
# Visual geoms of a URDF are in group 1, its collision geoms in group 0.
VISIBLE_GROUP = 1
SKY_TOP = (0.42, 0.64, 0.86)
SKY_BOTTOM = (1.0, 1.0, 1.0)
FLOOR = "floor"
FLOOR_LIGHT = (0.80, 0.84, 0.88)
FLOOR_DARK = (0.70, 0.75, 0.80)
FLOOR_TILE = 0.5  # m
LIGHT_DIRECTION = (0.35, 0.45, -0.82)
LIGHT_AMBIENT = 0.58
LIGHT_DIFFUSE = 0.46

_PROBE = """
import sys, importlib, numpy as np
import mujoco
context = importlib.import_module("mujoco." + sys.argv[1]).GLContext(16, 16)
context.make_current()
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><geom size='1' rgba='1 0 0 1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
scene = mujoco.MjvScene(model, 10)
camera = mujoco.MjvCamera()
mujoco.mjv_defaultFreeCamera(model, camera)
drawing = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, drawing)
mujoco.mjv_updateScene(model, data, mujoco.MjvOption(), None, camera, 7, scene)
rect = mujoco.MjrRect(0, 0, 16, 16)
mujoco.mjr_render(rect, scene, drawing)
pixels = np.zeros((16, 16, 3), np.uint8)
mujoco.mjr_readPixels(pixels, None, rect, drawing)
drawing.free()
context.free()
sys.stdout.write("drawn" if pixels.any() else "empty")
"""
_PROBE_TIMEOUT = 60.0  # s; a cold import from a slow disk takes long

_probed: dict[str, str] = {}
_in_use: dict[str, str] = {}
_probe_lock = threading.Lock()


def probe(backend: str) -> str:
    """Try to draw with ``egl`` or ``osmesa`` in another process.

    Returns an empty text if it works, else why not.  The answer is kept for this process.
    """
    with _probe_lock:
        if backend not in _probed:
            _probed[backend] = _try(backend)
        return _probed[backend]


def _try(backend: str) -> str:
    # The parent's choices must not leak in: MUJOCO_GL decides at import, and mujoco.egl sets
    # PYOPENGL_PLATFORM in this process's environment once it is loaded.
    environment = {
        key: value
        for key, value in os.environ.items()
        if key not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")
    }
    environment["MUJOCO_GL"] = "disabled"
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, backend],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0 and done.stdout.endswith("drawn"):
        return ""
    lines = done.stderr.strip().splitlines()
    return lines[-1].strip() if lines else f"exit code {done.returncode}, {done.stdout!r}"


def choose_backend(asked: str = "auto") -> str:
    """Return the back end to draw with: ``egl``, ``osmesa`` or ``rays``.

    Parameters
    ----------
    asked : ``auto`` takes ``MUJOCO_GL`` from the environment if it names a back end (``disabled``
        means rays), else the first of egl, osmesa and rays that works.

    Raises
    ------
    ConfigError
        if a back end is unknown.
    WorldError
        if one that was asked for by name does not work here.
    """
    where = "renderer"
    if asked == "auto":
        # glfw and its synonyms need a display; they are what MuJoCo takes when nobody chose.
        given = os.environ.get("MUJOCO_GL", "").lower().strip()
        if given in ("disable", "disabled", "off", "false", "0"):
            return "rays"
        if given not in ("", "glfw", "glx", "enable", "enabled", "on", "true", "1"):
            asked, where = given, "MUJOCO_GL"
    if asked == "auto":
        return next((name for name in ("egl", "osmesa") if not probe(name)), "rays")
    if asked not in BACKENDS:
        raise ConfigError(f"{where}: {asked!r} is not known; {one_of(('auto', *BACKENDS))}")
    why = "" if asked == "rays" else probe(asked)
    if why:
        package = {"egl": "libegl1 and libgl1-mesa-dri", "osmesa": "libosmesa6"}[asked]
        raise WorldError(
            f"{where}: {asked} does not work on this machine ({why});"
            f" install {package}, or choose rays, which needs no library"
        )
    return asked


def _import_mujoco() -> Any:
    """Import MuJoCo even if MUJOCO_GL names a platform whose library is missing."""
    given = os.environ.get("MUJOCO_GL")
    broken = "mujoco" not in sys.modules and given in ("egl", "osmesa") and bool(probe(given))
    if not broken:
        return importlib.import_module("mujoco")
    os.environ["MUJOCO_GL"] = "disabled"
    try:
        return importlib.import_module("mujoco")
    finally:
        os.environ["MUJOCO_GL"] = str(given)


mujoco: Any = _import_mujoco()


class Renderer(Protocol):
    """Draws what a fixed camera of a model sees."""

    backend: str

    def render(self, data: Any, camera: int, width: int, height: int) -> NDArray[np.uint8]:
        """Return uint8[height, width, 3] RGB of camera number ``camera``."""

    def close(self) -> None:
        """Free what it holds; may be called twice."""


def make_renderer(model: Any, backend: str, *, ray_step: int = 2) -> Renderer:
    """Return a renderer; it belongs to the calling thread.

    Parameters
    ----------
    model : MjModel, whose off-screen size bounds the images.
    backend : what :func:`choose_backend` returned.
    ray_step : pixels between two rays, for ``rays``.
    """
    if backend == "rays":
        return RayRenderer(model, ray_step)
    return GlRenderer(model, backend)


def _claim(backend: str) -> None:
    """Take the process's OpenGL for a back end: PyOpenGL binds to one of them, once."""
    with _probe_lock:
        taken = _in_use.setdefault("gl", backend)
    if taken != backend:
        raise WorldError(
            f"renderer: this process draws with {taken} already, and OpenGL allows no second back"
            f" end beside it; use {taken} here, {backend} in a process of its own, or rays"
        )


class GlRenderer:
    """Draws with OpenGL into an off-screen buffer.

    Shadows, reflections and fog are off: software rendering is 20 times as fast without them.
    """

    def __init__(self, model: Any, backend: str) -> None:
        self.backend = backend
        self._model = model
        self._thread = threading.get_ident()
        size = model.vis.global_
        _claim(backend)
        try:
            platform = importlib.import_module(f"mujoco.{backend}")
            self._gl: Any = platform.GLContext(int(size.offwidth), int(size.offheight))
            self._gl.make_current()
            scale = mujoco.mjtFontScale.mjFONTSCALE_100.value
            self._drawing: Any = mujoco.MjrContext(model, scale)
        except (ImportError, AttributeError, RuntimeError, mujoco.FatalError) as error:
            raise WorldError(
                f"renderer: {backend} cannot open an off-screen context ({error});"
                " choose renderer: rays, which needs no library"
            ) from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, self._drawing)
        self._scene = mujoco.MjvScene(model, 200)
        for flag in ("SHADOW", "REFLECTION", "FOG", "HAZE"):
            self._scene.flags[getattr(mujoco.mjtRndFlag, f"mjRND_{flag}")] = 0
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 0
        self._option.geomgroup[VISIBLE_GROUP] = 1
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._categories = mujoco.mjtCatBit.mjCAT_ALL.value

    def render(self, data: Any, camera: int, width: int, height: int) -> NDArray[np.uint8]:
        """Return uint8[height, width, 3] RGB of camera number ``camera``."""
        if self._gl is None:
            raise WorldError("renderer: is closed")
        if threading.get_ident() != self._thread:
            raise WorldError("renderer: an OpenGL context must be used by the thread that made it")
        self._gl.make_current()
        self._camera.fixedcamid = camera
        mujoco.mjv_updateScene(
            self._model, data, self._option, None, self._camera, self._categories, self._scene
        )
        rect = mujoco.MjrRect(0, 0, width, height)
        pixels = np.empty((height, width, 3), np.uint8)
        mujoco.mjr_render(rect, self._scene, self._drawing)
        mujoco.mjr_readPixels(pixels, None, rect, self._drawing)
        return np.ascontiguousarray(pixels[::-1])

    def close(self) -> None:
        """Free the context; may be called twice."""
        if self._gl is None:
            return
        if threading.get_ident() == self._thread:
            self._gl.make_current()
            self._drawing.free()
            self._gl.free()
        self._gl = self._drawing = None


class RayRenderer:
    """Draws by casting one ray per block of ``step`` x ``step`` pixels.

    Geoms have their own colour under one directional light; the image is enlarged bilinearly.
    MuJoCo discards geoms by bounds on the angles at which they are seen, and may drop slivers of
    those that are close and far above or below the camera: half a percent of the overview's
    pixels, none of the eye's at home.
    """

    backend = "rays"

    def __init__(self, model: Any, step: int = 2) -> None:
        self._model = model
        self._step = step
        self._groups = np.zeros(6, np.uint8)
        self._groups[VISIBLE_GROUP] = 1
        self._lenses: dict[tuple[int, int, int], tuple[NDArray[Any], ...]] = {}
        self._colour = np.array(model.geom_rgba[:, :3], np.float32)
        for geom, material in enumerate(model.geom_matid):
            if material >= 0:
                self._colour[geom] = model.mat_rgba[material, :3]
        self._floor = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_GEOM.value, FLOOR)
        light = -np.array(LIGHT_DIRECTION, np.float32)
        self._to_light = light / np.linalg.norm(light)

    def render(self, data: Any, camera: int, width: int, height: int) -> NDArray[np.uint8]:
        """Return uint8[height, width, 3] RGB of camera number ``camera``."""
        rows, columns = -(-height // self._step), -(-width // self._step)
        directions, geoms, distance, normal = self._lens(camera, columns, rows, width / height)
        rays = directions @ data.cam_xmat[camera].reshape(3, 3).T
        origin = np.array(data.cam_xpos[camera])
        mujoco.mj_multiRay(
            self._model,
            data,
            origin,
            rays.ravel(),
            self._groups,
            1,
            -1,
            geoms,
            distance,
            normal.ravel(),
            len(rays),
            1e6,
        )
        shade = np.clip(normal.astype(np.float32) @ self._to_light, 0, None)
        colour = self._colour[geoms] * (LIGHT_AMBIENT + LIGHT_DIFFUSE * shade)[:, None]
        floor = geoms == self._floor
        if floor.any():
            spot = origin[:2] + rays[floor, :2] * distance[floor, None]
            odd = np.floor(spot / FLOOR_TILE).astype(np.int64).sum(axis=1) & 1
            colour[floor] = np.where(odd[:, None], FLOOR_LIGHT, FLOOR_DARK)
        sky = geoms < 0
        if sky.any():
            up = (rays[sky, 2, None] + 1) / 2
            colour[sky] = np.array(SKY_BOTTOM) * (1 - up) + np.array(SKY_TOP) * up
        small = np.clip(colour * 255 + 0.5, 0, 255).astype(np.uint8).reshape(rows, columns, 3)
        if self._step == 1:
            return np.asarray(small, np.uint8)
        large = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(large, np.uint8)

    def _lens(self, camera: int, columns: int, rows: int, aspect: float) -> tuple[Any, ...]:
        """Rays in the camera's frame, and buffers for what they hit."""
        key = (camera, columns, rows)
        if key not in self._lenses:
            half = math.tan(math.radians(float(self._model.cam_fovy[camera])) / 2)
            x = ((np.arange(columns) + 0.5) / columns * 2 - 1) * half * aspect
            y = (1 - (np.arange(rows) + 0.5) / rows * 2) * half
            grid = np.empty((rows, columns, 3))
            grid[..., 0], grid[..., 1], grid[..., 2] = x[None, :], y[:, None], -1.0
            grid /= np.linalg.norm(grid, axis=2, keepdims=True)
            count = rows * columns
            self._lenses[key] = (
                grid.reshape(-1, 3),
                np.empty(count, np.int32),
                np.empty(count),
                np.empty((count, 3)),
            )
        return self._lenses[key]

    def close(self) -> None:
        """Nothing to free."""
