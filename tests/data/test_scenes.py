"""Layered scenes: exact depth, occlusion, and that nothing else but what was given is shown."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from srkit.data.scenes import SHAPES, _add_layer, _background, layered_scene
from srkit.errors import UsageError
from srkit.ops.layout import RGB
from tests.helpers import refused


def _images(rendered: Callable[..., RGB]) -> list[RGB]:
    return [rendered(96, 128, seed) for seed in range(3)]


def test_a_scene_is_a_function_of_its_arguments(rendered: Callable[..., RGB]) -> None:
    images = _images(rendered)
    scene, again = (layered_scene(images, 96, 80, 3) for _ in range(2))
    assert scene.image.shape == (96, 80, 3)
    assert scene.image.dtype == np.uint8
    assert scene.depth.shape == (96, 80)
    assert scene.depth.dtype == np.float32
    np.testing.assert_array_equal(scene.image, again.image)
    np.testing.assert_array_equal(scene.depth, again.depth)
    assert not np.array_equal(scene.depth, layered_scene(images, 96, 80, 4).depth)


@pytest.mark.parametrize("seed", range(12))
def test_depth_is_normalised_and_jumps(seed: int, rendered: Callable[..., RGB]) -> None:
    depth = layered_scene(_images(rendered), 128, 128, seed).depth
    assert float(depth.min()) == 0
    assert float(depth.max()) == 1
    steps = np.abs(np.diff(depth, axis=1))
    assert float(steps.max()) > 0.1  # an edge of a layer
    assert float((steps < 0.02).mean()) > 0.8  # and planes between


def test_images_change_where_depth_jumps(rendered: Callable[..., RGB]) -> None:
    """Depth says where what was drawn last ends: of two flat images, the edges of the one are those of the other."""
    flat = [np.full((200, 200, 3), value, dtype=np.uint8) for value in (40, 120, 200)]
    scene = layered_scene(flat, 128, 128, 5)
    edges = np.abs(np.diff(scene.image[:, :, 1].astype(int), axis=1)) > 0
    jumps = np.abs(np.diff(scene.depth, axis=1)) > 0.03
    assert edges.sum() > 100
    assert float(jumps[edges].mean()) > 0.9


def test_what_is_nearer_hides_what_is_farther(rendered: Callable[..., RGB]) -> None:
    rng = np.random.default_rng(0)
    image, depth = np.zeros((64, 64, 3), dtype=np.uint8), np.full((64, 64), 0.5, dtype=np.float32)
    for _ in range(20):
        before = depth.copy()
        _add_layer(image, depth, None, _images(rendered), 0.4, rng)
        drawn = depth != before
        assert bool((depth[drawn] > before[drawn]).all())
    assert float(depth.max()) < 0.56  # 0.4 and a tilt of at most a quarter of it
    untouched = image.copy()
    depth[:] = 0.95
    for _ in range(10):
        _add_layer(image, depth, None, _images(rendered), 0.4, rng)
    np.testing.assert_array_equal(image, untouched)


def test_backgrounds_have_depth_of_their_own() -> None:
    kinds = set()
    for seed in range(20):
        ground, depth = _background(48, 64, np.random.default_rng(seed))
        assert float(np.ptp(depth)) > 0.01
        assert 0 <= float(depth.min()) <= float(depth.max()) <= 1
        kinds.add(ground is None)
        if ground is not None:
            assert bool((np.diff(ground) >= 0).all())  # nearer towards the bottom
    assert kinds == {True, False}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("size", [(8, 8), (60, 25), (20, 90)])
def test_every_shape_fits_and_shows(name: str, size: tuple[int, int]) -> None:
    for seed in range(5):
        mask = SHAPES[name](*size, np.random.default_rng(seed))
        assert mask.shape == size
        assert mask.dtype == np.bool_
        assert mask.any()
        assert name in ("box", "fence") or not mask.all()


def test_small_images_and_scenes_will_do(rendered: Callable[..., RGB]) -> None:
    scene = layered_scene([rendered(16, 16)], 200, 32, 1)
    assert scene.image.shape == (200, 32, 3)
    assert len(np.unique(scene.image)) > 20


def test_bad_arguments_are_refused(rendered: Callable[..., RGB]) -> None:
    good = rendered(64, 64)
    for images in ([], [good, good[:15]], [good[:, :, 0]]):
        with refused(UsageError, len(images), 16):
            layered_scene(images, 64, 64, 0)
    for arguments in ((31, 64, 0), (64, 64, -1)):
        with refused(UsageError, f"{arguments[1]} x {arguments[0]}", arguments[2], 32):
            layered_scene([good], *arguments)
