"""`srkit.tasks.upscale.run` as a Python API: records, metadata, the shipped family of models, memory."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from srkit.archs.edsr import EDSR
from srkit.errors import ResourceError, UsageError
from srkit.io.image import DecodedImage
from srkit.io.read import read_image
from srkit.io.write import encode_image, write_image
from srkit.recipes.upscale import Target, UpscaleRecipe
from srkit.tasks.upscale.plan import plan_upscale
from srkit.tasks.upscale.run import FileRecord, UpscaleJob, run
from srkit.zoo import manifest as manifest_module
from srkit.zoo.header import Header
from srkit.zoo.manifest import register
from srkit.zoo.weights import save_weights
from tests.helpers import refused

XMP = b"<?xpacket begin='' id='x'?><x:xmpmeta xmlns:x='adobe:ns:meta/'>kept</x:xmpmeta><?xpacket end='w'?>"


@pytest.fixture
def recipe(edsr_weights: Path) -> Callable[..., UpscaleRecipe]:
    return lambda **settings: UpscaleRecipe(
        model=str(edsr_weights), **{"device": "cpu", "dtype": "fp32", **settings}
    )


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny edsr-x2 and edsr-x4, shipped; and an edsr-x8-lite, which `auto` must not take."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    for name, scale in (("edsr-x2", 2), ("edsr-x4", 4), ("edsr-x8-lite", 8)):
        arguments: dict[str, Any] = {"scale": scale, "features": 4, "blocks": 1, "upsampler": "single"}
        path = folder / f"{name}.safetensors"
        save_weights(path, EDSR(**arguments), Header(arch="edsr", arguments=arguments, scale=scale))
        register(path, name, "Tiny.")
    monkeypatch.setattr(manifest_module, "weights_dir", lambda: folder)


def png(path: Path, width: int = 12, height: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(width * height).integers(0, 256, (height, width, 3)).astype(np.uint8)
    write_image(DecodedImage(pixels), path, format="png")
    return path


@pytest.mark.parametrize(
    ("target", "models"),
    [
        (Target(), ("edsr-x4",)),
        (Target(scale=2), ("edsr-x2",)),
        (Target(scale=1.5), ("edsr-x2",)),
        (Target(scale=3), ("edsr-x4",)),
        (Target(scale=6), ("edsr-x2", "edsr-x4")),
        (Target(scale=8), ("edsr-x2", "edsr-x4")),
        (Target(scale=16), ("edsr-x4", "edsr-x4")),
        (Target(max_size=12), ()),
        (Target(max_size=13), ("edsr-x2",)),
    ],
)
@pytest.mark.usefixtures("family")
def test_auto_chooses_the_chain(tmp_path: Path, target: Target, models: tuple[str, ...]) -> None:
    recipe = UpscaleRecipe(target=target, device="cpu")
    job = UpscaleJob(recipe, str(png(tmp_path / "a.png")), tmp_path / "b.png")
    planned = plan_upscale(job).pictures[0]
    (record,) = run(job)
    assert (record.status, record.models, planned.models) == ("done", models, models)
    written = read_image(tmp_path / "b.png")
    assert (written.width, written.height) == (record.width, record.height)


@pytest.mark.usefixtures("family")
def test_images_of_one_job_may_need_different_chains(tmp_path: Path) -> None:
    for i, width in enumerate((30, 10, 30, 8, 60, 30)):
        png(tmp_path / "in" / f"{i}.png", width, 10)
    job = UpscaleJob(
        UpscaleRecipe(target=Target(width=60), device="cpu"), str(tmp_path / "in"), tmp_path / "out"
    )
    records = list(run(job))
    assert [len(r.models) for r in records] == [1, 2, 1, 2, 0, 1]
    assert [r.models[-1:] for r in records[:2]] == [("edsr-x2",), ("edsr-x4",)]
    assert all(read_image(Path(r.output)).width == 60 for r in records)


def test_everything_refusable_is_refused_at_the_call(
    recipe: Callable[..., UpscaleRecipe], tmp_path: Path
) -> None:
    source = png(tmp_path / "a.png")
    with refused(UsageError, tmp_path / "nothing.png"):
        run(UpscaleJob(recipe(), str(tmp_path / "nothing.png"), tmp_path / "b.png"))
    with refused(UsageError, "cuda:9"):
        run(UpscaleJob(recipe(device="cuda:9"), str(source), tmp_path / "b.png"))
    with refused(ResourceError, "no-such-model"):
        run(UpscaleJob(UpscaleRecipe(model="no-such-model"), str(source), tmp_path / "b.png"))
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.usefixtures("family")
def test_a_precision_that_no_model_can_have_is_refused_at_the_call(tmp_path: Path) -> None:
    job = UpscaleJob(
        UpscaleRecipe(dtype="fp16", device="cpu"), str(png(tmp_path / "a.png")), tmp_path / "b.png"
    )
    with refused(UsageError, "fp16"):
        run(job)


def test_a_run_that_is_left_early_leaves_whole_files(
    recipe: Callable[..., UpscaleRecipe], tmp_path: Path
) -> None:
    for i in range(12):
        png(tmp_path / "in" / f"{i:02}.png", 40, 40)
    job = UpscaleJob(recipe(), str(tmp_path / "in"), tmp_path / "out")
    records = run(job)
    first = next(records)
    records.close()  # type: ignore[attr-defined]
    assert Path(first.output).name == "00.png"
    names = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert 1 <= len(names) < 12
    assert names == [f"{i:02}.png" for i in range(len(names))]
    assert all(read_image(tmp_path / "out" / name).width == 80 for name in names)


def test_data_and_sink(recipe: Callable[..., UpscaleRecipe], tmp_path: Path) -> None:
    pixels = read_image(png(tmp_path / "a.png"))
    data, _ = encode_image(pixels, format="png")
    taken: list[bytes] = []
    job = UpscaleJob(recipe(), "-", Path("-"), data=data, sink=taken.append)
    (record,) = run(job)
    assert (record.input, record.output, record.status) == ("-", "-", "done")
    (encoded,) = taken
    assert read_image(encoded).pixels.shape == (16, 24, 3)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112], tags[0x010F], tags[0x0131] = orientation, "Maker", "Some program"
    return tags


@functools.cache  # it holds the time of its making
def profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("format", ["jpg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_metadata_is_kept_and_the_orientation_applied_once(
    recipe: Callable[..., UpscaleRecipe], tmp_path: Path, format: str, orientation: int
) -> None:
    Image.new("RGB", (24, 16), (90, 120, 30)).save(
        tmp_path / "a.jpg", quality=95, exif=exif(orientation), icc_profile=profile(), xmp=XMP
    )
    job = UpscaleJob(recipe(format=format, target=Target(scale=3)), str(tmp_path / "a.jpg"), tmp_path / "out")
    (record,) = run(job)
    assert record.status == "done"
    with Image.open(record.output) as written:
        assert written.size == ((48, 72) if orientation > 4 else (72, 48))
        assert written.info["icc_profile"] == profile()
        assert written.getexif().get(0x0112, 1) == 1
    image = read_image(Path(record.output))
    assert image.xmp is not None
    assert b"kept" in image.xmp
    assert image.exif is not None
    assert b"Some program" in image.exif
    assert record.warnings == ()


def test_the_orientation_turns_the_pixels(recipe: Callable[..., UpscaleRecipe], tmp_path: Path) -> None:
    """The same image, stored upright and stored turned, comes out the same."""
    pixels = np.asarray(Image.open(png(tmp_path / "upright.png", 12, 8)))
    stored = np.ascontiguousarray(np.rot90(pixels))  # what orientation 6 turns back, clockwise
    Image.fromarray(stored).save(tmp_path / "turned.png", exif=exif(6))
    for name in ("upright", "turned"):
        job = UpscaleJob(recipe(), str(tmp_path / f"{name}.png"), tmp_path / f"{name}-2x.png")
        assert next(iter(run(job))).status == "done"
    one, other = (read_image(tmp_path / f"{name}-2x.png") for name in ("upright", "turned"))
    assert (one.pixels == other.pixels).all()


def test_sixteen_bit_gray_with_alpha_through_every_format(
    recipe: Callable[..., UpscaleRecipe], tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    source = DecodedImage(random.integers(0, 65536, (8, 12, 2)).astype(np.uint16))
    write_image(source, tmp_path / "a.tif", format="tiff")
    for format, shape, depth, words in (
        ("png", (16, 24, 2), 16, []),
        ("tiff", (16, 24, 2), 16, []),
        ("webp", (16, 24, 4), 8, ["8 bits"]),
        ("avif", (16, 24, 4), 8, ["8 bits"]),
        ("jpg", (16, 24, 1), 8, ["white", "8 bits"]),
    ):
        job = UpscaleJob(recipe(format=format), str(tmp_path / "a.tif"), tmp_path / format)
        (record,) = run(job)
        assert record.status == "done"
        assert len(record.warnings) == len(words)
        assert all(word in warning for word, warning in zip(words, record.warnings, strict=True))
        written = read_image(Path(record.output))
        assert (written.pixels.shape, written.depth) == (shape, depth)


def test_an_animation_is_its_first_frame_with_a_warning(
    recipe: Callable[..., UpscaleRecipe], tmp_path: Path
) -> None:
    frames = [Image.new("RGB", (8, 8), (level, 0, 0)) for level in (50, 150, 250)]
    for name in ("a.gif", "b.png", "c.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        (record,) = run(UpscaleJob(recipe(), str(tmp_path / name), tmp_path / "out"))
        assert record.status == "done"
        assert "only the first" in record.warnings[0]


def test_text_chunks_do_no_harm(recipe: Callable[..., UpscaleRecipe], tmp_path: Path) -> None:
    info = PngInfo()
    info.add_text("Title", "x" * 100_000)
    Image.new("P", (8, 8), 3).save(tmp_path / "a.png", pnginfo=info)
    (record,) = run(UpscaleJob(recipe(), str(tmp_path / "a.png"), tmp_path / "b.png"))
    assert record.status == "done"


def test_records_are_complete(
    recipe: Callable[..., UpscaleRecipe], tmp_path: Path, edsr_weights: Path
) -> None:
    png(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_bytes(b"broken")
    job = UpscaleJob(recipe(tile=64), str(tmp_path / "in"), tmp_path / "out")
    done, failed = run(job)
    assert done.seconds is not None
    assert asdict(done) | {"seconds": 0} == asdict(
        FileRecord(
            input=str(tmp_path / "in" / "a.png"),
            output=str(tmp_path / "out" / "a.png"),
            status="done",
            width=24,
            height=16,
            scale=2.0,
            models=(edsr_weights.stem,),
            tile=64,
            overlap=done.overlap,
            dtype="float32",
            device="cpu",
            seconds=0,
        )
    )
    assert (failed.status, failed.width, failed.models) == ("failed", None, ())
    assert failed.error is not None
    skip = UpscaleJob(recipe(), str(tmp_path / "in"), tmp_path / "out", existing="skip")
    assert [record.status for record in run(skip)] == ["skipped", "failed"]


def resident() -> float:
    """Megabytes of this process in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_memory_does_not_grow(recipe: Callable[..., UpscaleRecipe], tmp_path: Path) -> None:
    source = png(tmp_path / "in" / "000.png", 96, 64).read_bytes()
    for i in range(1, 200):
        (tmp_path / "in" / f"{i:03}.png").write_bytes(source)
    memory = [resident() for _ in run(UpscaleJob(recipe(), str(tmp_path / "in"), tmp_path / "out"))]
    assert len(memory) == 200
    # Each result is 74 kB, and 12 times that in float: what was kept of 160 of them would be seen.
    assert memory[-1] - memory[39] < 6
