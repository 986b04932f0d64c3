"""The list of models, what puts weights into it, and where files lie."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from srkit.archs.edsr import EDSR
from srkit.errors import ResourceError, UsageError
from srkit.zoo import manifest as manifest_module
from srkit.zoo.cache import cache_dir
from srkit.zoo.files import sha256_of
from srkit.zoo.header import Header
from srkit.zoo.load import load_model
from srkit.zoo.manifest import Entry, Manifest, format_entries, read_entries, register, weights_dir
from srkit.zoo.public import PUBLIC_MODELS
from srkit.zoo.source import Hub, Url, parse_source
from srkit.zoo.weights import save_weights
from tests.helpers import refused

ARGUMENTS = {"scale": 2, "features": 8, "blocks": 1, "upsampler": "single"}
HEADER = Header(
    arch="edsr",
    arguments=ARGUMENTS,
    scale=2,
    recipe="edsr",
    licence="Apache-2.0",
    training_data="rendered images",
    scores={"classical": {"Set5": {"ssim": 0.9, "psnr": 31.0}}},
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A weights folder with one registered model, in the place of the shipped one."""
    save_weights(tmp_path / "small-x2.safetensors", EDSR(**ARGUMENTS), HEADER)  # type: ignore[arg-type]
    register(tmp_path / "small-x2.safetensors", "small-x2", "A small one.")
    monkeypatch.setattr(manifest_module, "weights_dir", lambda: tmp_path)
    monkeypatch.setenv("SRKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_the_manifest_of_this_checkout_is_sound() -> None:
    text = (weights_dir() / "manifest.json").read_text(encoding="utf-8")
    entries = read_entries(weights_dir() / "manifest.json")
    assert text == format_entries(entries), "rewrite it with srkit.zoo.manifest.register"
    for entry in Manifest.load().shipped():
        assert sha256_of(entry.path) == entry.sha256
        assert entry.path.stat().st_size == entry.size


def test_register_takes_everything_from_the_file(folder: Path) -> None:
    path = folder / "small-x2.safetensors"
    entry = Manifest.load(folder).entry("small-x2")
    network = EDSR(**ARGUMENTS)  # type: ignore[arg-type]
    assert entry == Entry(
        name="small-x2",
        file="small-x2.safetensors",
        sha256=sha256_of(path),
        size=path.stat().st_size,
        task="sr",
        scale=2,
        arch="edsr",
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        licence="Apache-2.0",
        summary="A small one.",
        recipe="edsr",
        training_data="rendered images",
        scores={"classical": {"Set5": {"psnr": 31.0, "ssim": 0.9}}},
    )
    assert [entry.name for entry in Manifest.load(folder).shipped()] == ["small-x2"]


def test_register_replaces_and_keeps_an_order(folder: Path) -> None:
    first = folder / "a.safetensors"
    save_weights(first, EDSR(**ARGUMENTS), replace(HEADER, scale=2))  # type: ignore[arg-type]
    register(first, "a-x2", "Comes first.")
    before = (folder / "manifest.json").read_text(encoding="utf-8")
    register(folder / "small-x2.safetensors", "small-x2", "A small one.")
    assert (folder / "manifest.json").read_text(encoding="utf-8") == before
    register(folder / "small-x2.safetensors", "small-x2", "Another word.")
    entries = read_entries(folder / "manifest.json")
    assert [(entry.name, entry.summary) for entry in entries] == [
        ("a-x2", "Comes first."),
        ("small-x2", "Another word."),
    ]
    with refused(ResourceError, folder / "manifest.json", "a.safetensors"):
        register(first, "b-x2", "The same file twice.")


def test_load_by_name(folder: Path) -> None:
    model = load_model("small-x2")
    assert (model.name, model.path) == ("small-x2", folder / "small-x2.safetensors")
    assert model.sha256 == Manifest.load().entry("small-x2").sha256


def test_a_wrong_checksum_is_refused(folder: Path) -> None:
    path = folder / "small-x2.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with refused(ResourceError, path, "SHA-256"):
        load_model("small-x2")


def test_shipped_weights_that_are_missing_or_a_pointer(folder: Path) -> None:
    path = folder / "small-x2.safetensors"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with refused(ResourceError, path, "git lfs pull"):
        load_model("small-x2")
    path.unlink()
    with refused(ResourceError, path):
        load_model("small-x2")


def test_unknown_names_name_the_nearest(folder: Path) -> None:
    with refused(ResourceError, "smal-x2", "small-x2"):
        load_model("smal-x2")
    with refused(ResourceError, "RealESRGANx4plus", "RealESRGAN_x4plus"):
        Manifest.load().entry("RealESRGANx4plus")


@pytest.mark.parametrize("name", [model.name for model in PUBLIC_MODELS])
def test_public_models_are_pinned_and_fetched_unless_that_is_forbidden(
    folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = Manifest.load().entry(name)
    assert entry.pinned and entry.size and entry.licence
    assert not entry.shipped
    assert entry.path.is_relative_to(folder / "cache")
    monkeypatch.setenv("SRKIT_OFFLINE", "1")
    with refused(ResourceError, name, "SRKIT_OFFLINE", f"srkit models pull {name}", folder / "cache"):
        load_model(name)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("{", ()),
        ("[]", ("'models'",)),
        ('{"format_version": 2, "models": []}', (2, 1)),
        ('{"format_version": 1, "models": [{"name": "x"}]}', ()),
        ('{"format_version": 1, "models": [{"mood": "good"}]}', ("'mood'",)),
    ],
)
def test_damaged_manifests(tmp_path: Path, text: str, named: tuple[object, ...]) -> None:
    (tmp_path / "manifest.json").write_text(text)
    with refused(ResourceError, tmp_path / "manifest.json", *named):
        Manifest.load(tmp_path)


def test_two_models_of_one_name(folder: Path) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    content["models"] *= 2
    (folder / "manifest.json").write_text(json.dumps(content))
    with refused(ResourceError, folder / "manifest.json", "small-x2"):
        Manifest.load()


def test_no_manifest(tmp_path: Path) -> None:
    with refused(ResourceError, tmp_path / "manifest.json"):
        Manifest.load(tmp_path)


def test_cache_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SRKIT_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("SRKIT_CACHE")
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "srkit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path.home() / ".cache" / "srkit"


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("https://host/a/b.pth", Url("https://host/a/b.pth")),
        ("owner/repo", Hub("owner/repo", None, None)),
        ("hf:owner/repo/b.pth", Hub("owner/repo", "b.pth", None)),
        ("hf:owner/repo/sub/b.pth@v1.0", Hub("owner/repo", "sub/b.pth", "v1.0")),
        ("owner/repo@v1.0", Hub("owner/repo", None, "v1.0")),
    ],
)
def test_sources(text: str, source: Url | Hub) -> None:
    assert parse_source(text) == source
    assert parse_source(source.text) == source


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "file:///etc/passwd", "ftp://host/a", "https://host/", "https:///a", "hf:x", "../a/b"),
        *("hf:a/b/../../c.pth", "https://host/a b.pth", "https://host/\x1b.pth", "https://host:x/a.pth"),
        *("https://[::1/a.pth", "data://x/a.pth", "https://h\u00f6st/a.pth"),
    ],
)
def test_no_sources(text: str) -> None:
    with refused(UsageError, f"'{text}'"):
        parse_source(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://host:80/../../b.pth",
        "https://host/a%2f..%2fb.pth",
        "https://host/b.pth?x=../..",
        f"https://host/{'a' * 3000}.pth",
        "https://host/.incoming-b.pth",
        "https://host/%00%1b[2J.pth",
    ],
)
def test_files_of_any_source_lie_in_the_cache(tmp_path: Path, text: str) -> None:
    path = parse_source(text).location(tmp_path)
    assert path.resolve().is_relative_to(tmp_path.resolve() / "models")
    assert str(path).isprintable()
    assert not path.name.startswith(".") and max(map(len, path.parts)) < 200


@pytest.mark.parametrize("kept", ["b.pth.lock.json", "b.pth.part", "b.pth.part.json"])
def test_no_source_has_the_place_of_what_is_kept_beside_another(tmp_path: Path, kept: str) -> None:
    assert parse_source(f"https://host/{kept}").location(tmp_path) != parse_source(
        "https://host/b.pth"
    ).location(tmp_path).with_name(kept)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UsageError) as caught:
        parse_source("https://user:secret@host/b.pth")
    assert "host" in str(caught.value) and "secret" not in str(caught.value)


def test_addresses_that_differ_in_their_query_do_not_share_a_file(tmp_path: Path) -> None:
    places = {parse_source(f"https://host/get?id={i}").location(tmp_path) for i in range(3)}
    assert len(places) == 3
