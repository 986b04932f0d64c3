from __future__ import annotations

import base64
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from srkit.errors import UsageError
from srkit.metrics.reports import Gallery, ImageKey
from srkit.metrics.reports import gallery as module
from srkit.metrics.reports.gallery import PAGE_BYTES, Views
from srkit.ops.layout import RGB
from tests.helpers import refused


def key(name: str) -> ImageKey:
    return ImageKey("set", 4, "model", name)


def decoded(uri: str) -> RGB:
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def noise(height: int, width: int, seed: int = 0) -> RGB:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_crop_is_where_sr_is_worst_and_lossless() -> None:
    hr = noise(600, 800)
    sr = hr.copy()
    sr[400:430, 650:690] ^= 255
    lr = noise(600, 800, 1)
    gallery = Gallery(1)
    gallery.add(key("a"), sr, lr_bicubic=lr, hr=hr)
    crop = gallery.crop(key("a"))
    assert crop is not None and (crop.width, crop.height) == (256, 256)
    assert crop.top <= 400 and crop.top + 256 >= 430 and crop.left <= 650 and crop.left + 256 >= 690
    window = np.s_[crop.top : crop.top + 256, crop.left : crop.left + 256]
    for view, array in (("lr", lr), ("sr", sr), ("hr", hr)):
        assert np.array_equal(decoded(crop.uris[view]), array[window])
    whole = gallery.whole(key("a"))
    assert whole is not None and np.array_equal(decoded(whole.uris["sr"]), sr)


def test_window_is_the_worst_of_all_windows() -> None:
    error = np.random.default_rng(2).random((40, 30), dtype=np.float32)
    top, left = module._worst_window(error, 7, 9)
    sums = np.lib.stride_tricks.sliding_window_view(error, (7, 9)).sum(axis=(2, 3))
    assert (top, left) == np.unravel_index(sums.argmax(), sums.shape)


def test_small_images_are_their_own_crop() -> None:
    gallery = Gallery(1)
    gallery.add(key("a"), noise(1, 3), hr=noise(1, 3, 1))
    crop = gallery.crop(key("a"))
    assert crop is not None and (crop.height, crop.width, crop.top, crop.left) == (1, 3, 0, 0)
    assert set(crop.uris) == {"sr", "hr"}
    assert gallery.whole(key("a")) is None  # it would be the same again


def test_without_reference_the_crop_is_the_centre() -> None:
    gallery = Gallery(1)
    gallery.add(key("a"), noise(300, 500))
    crop = gallery.crop(key("a"))
    assert crop is not None and (crop.top, crop.left) == (22, 122) and set(crop.uris) == {"sr"}


def test_large_images_have_no_whole() -> None:
    gallery = Gallery(1)
    gallery.add(key("a"), np.zeros((1001, 1500, 3), np.uint8))
    assert gallery.whole(key("a")) is None and gallery.crop(key("a")) is not None


@pytest.mark.parametrize("wrong", [noise(4, 5), noise(5, 4)[..., :1], noise(5, 4).astype(np.uint16)])
def test_views_of_another_size_or_type_are_refused(wrong: RGB) -> None:
    with refused(UsageError, "hr", "'a'"):
        Gallery(1).add(key("a"), noise(5, 4), hr=wrong)


@pytest.mark.parametrize(("count", "side"), [(1, 256), (40, 256), (100, 160), (219, 112), (5000, 96)])
def test_more_images_smaller_crops(count: int, side: int) -> None:
    assert Gallery(count).crop_side == side


def test_all_together_stay_in_their_bytes_and_the_worst_are_kept() -> None:
    count = 150  # of noise, which nothing compresses
    gallery = Gallery(count)
    hr = noise(192, 256)
    for i in range(count):
        sr = np.clip(hr.astype(np.int16) + i % 50, 0, 255).astype(np.uint8)
        gallery.add(key(str(i)), sr, lr_bicubic=hr, hr=hr)
    crops = {i: gallery.crop(key(str(i))) for i in range(count)}
    wholes = {i: gallery.whole(key(str(i))) for i in range(count)}
    kept = [views for views in (*crops.values(), *wholes.values()) if views is not None]
    assert 0.5 * PAGE_BYTES < sum(views.size for views in kept) <= PAGE_BYTES
    for found in (crops, wholes):
        present = [i % 50 for i, views in found.items() if views is not None]
        absent = [i % 50 for i, views in found.items() if views is None]
        assert present and absent and min(present) >= max(absent)


def test_what_is_kept_does_not_depend_on_the_order_of_different_images() -> None:
    uri = "x" * 10
    for order in ([1, 2, 3, 4], [4, 3, 2, 1], [2, 4, 1, 3]):
        shelf = module._Shelf(25)
        for badness in order:
            if shelf.wants(badness):
                shelf.put(key(str(badness)), badness, Views({"sr": uri}, 1, 1))
        assert [i for i in order if shelf.get(key(str(i)))] == [i for i in order if i > 2]


def test_filled_by_several_threads() -> None:
    gallery = Gallery(40)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: gallery.add(key(str(i)), noise(64, 64, i), hr=noise(64, 64)), range(40)))
    for i in range(40):
        crop = gallery.crop(key(str(i)))
        assert crop is not None and np.array_equal(decoded(crop.uris["sr"]), noise(64, 64, i))


def test_what_a_model_was_made_from_is_shown_beside_it() -> None:
    before, sr, hr = (noise(40, 50, seed) for seed in range(3))
    gallery = Gallery(1)
    gallery.add(key("a"), sr, hr=hr, before=before)
    crop = gallery.crop(key("a"))
    assert crop is not None
    assert list(crop.uris) == ["before", "sr", "hr"]
    assert np.array_equal(decoded(crop.uris["before"]), before)
    with refused(UsageError, "before", "'b'"):
        gallery.add(key("b"), sr, before=before[:30])
