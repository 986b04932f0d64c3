"""Recipes from TOML: every key known, every type right, and back to TOML without loss."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from srkit.archs.table import build, info_of
from srkit.errors import ResourceError, UsageError
from srkit.losses.table import check_terms
from srkit.recipes.kinds import load_training_recipe
from srkit.recipes.load import from_mapping, read_table, shipped_recipes, to_mapping, to_toml
from srkit.zoo.manifest import read_entries, weights_dir
from tests.helpers import refused

MINIMAL = 'name = "mine"\n[model]\narch = "edsr"\narguments = { scale = 2 }\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(MINIMAL)
    return path


SR = [name for name in shipped_recipes() if read_table(name).get("kind", "sr") == "sr"]


@pytest.mark.parametrize("name", SR)
def test_every_shipped_recipe_builds(name: str) -> None:
    recipe = load_training_recipe(name)
    assert recipe.name == name
    check_terms(recipe.loss)
    with torch.device("meta"):
        network = build(recipe.model.arch, recipe.model.arguments)
    if name.startswith("edsr"):
        assert name.endswith(f"-x{info_of(network).scale}")
    shipped = (entry.name for entry in read_entries(weights_dir() / "manifest.json"))
    assert recipe.model.start in (
        "",
        *shipped_recipes(),
        *shipped,
    )  # and not one that nobody has or can train


def test_shipped_recipes_are_those_of_edsr() -> None:
    assert {"edsr-x2", "edsr-x3", "edsr-x4", "edsr-x8"} <= set(shipped_recipes())


def test_what_is_not_said_has_its_default(file: Path) -> None:
    recipe = load_training_recipe(file)
    assert (recipe.name, recipe.model.arguments) == ("mine", {"scale": 2})
    assert (recipe.data.patch, recipe.optim.betas, recipe.loss) == (32, (0.9, 0.999), {"l1": 1.0})


def test_settings_are_laid_over(file: Path) -> None:
    settings = [
        "optim.lr=1e-3",
        "optim.steps=7",
        "data.augment=false",
        "data.residency=stream",
        "model.arguments.upsampler=single",
        'name="a b"',
        "loss.l1=2",
        "optim.betas=[0.5, 0.75]",
        " seed = 4",
    ]
    recipe = load_training_recipe(str(file), settings)
    assert (recipe.optim.lr, recipe.optim.steps, recipe.seed) == (1e-3, 7, 4)
    assert (recipe.data.augment, recipe.data.residency) == (False, "stream")
    assert recipe.model.arguments == {"scale": 2, "upsampler": "single"}
    assert (recipe.name, recipe.loss, recipe.optim.betas) == ("a b", {"l1": 2.0}, (0.5, 0.75))
    assert isinstance(recipe.loss["l1"], float)


def test_the_last_setting_counts(file: Path) -> None:
    assert load_training_recipe(file, ["seed=1", "seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("optim.learning_rate=1", ("optim.learning_rate",)),
        ("optim.lr_finale=1", ("optim.lr_finale", "lr_final")),
        ("data.patsh=1", ("data.patsh", "patch")),
        ("sead=1", ("sead", "seed")),
        ("optim.lr=fast", ("optim.lr", "fast", "float")),
        ("optim.steps=1.5", ("optim.steps", 1.5, "int")),
        ("optim.steps=true", ("optim.steps", True, "int")),
        ("optim.lr=true", ("optim.lr", True, "float")),
        ("data.augment=1", ("data.augment", 1, "bool")),
        ("name=1", ("name", 1, "str")),
        ("data.residency=disk", ("data.residency", "disk", "auto", "memory", "stream")),
        ("data=3", ("data", 3)),
        ("loss=3", ("loss", 3)),
        ("loss.l1=much", ("loss.l1", "much", "float")),
        ("model.arguments=4", ("model.arguments", 4)),
        ("optim.betas=0.9", ("optim.betas", 0.9)),
        ("optim.betas=abc", ("optim.betas", "abc")),
        ("optim.betas=['a','b']", ("optim.betas", "a", "float")),
        ("seed", ("seed", "key=value")),
        ("=3", ("=3", "key=value")),
        ("name.first=x", ("name.first", "name")),
    ],
)
def test_settings_that_make_no_sense(setting: str, named: tuple[object, ...], file: Path) -> None:
    with refused(UsageError, *named):
        load_training_recipe(file, [setting])


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"name = ", "bad.toml"),
        (b"\xff\xfe\x00", "bad.toml"),
        (b'name = "a"', "model"),
        (b'name = "a"\n[model]\narch = "edsr"', "model.arguments"),
        (MINIMAL.encode() + b"\n[extra]\na = 1", "extra"),
    ],
)
def test_files_that_are_no_recipes(content: bytes, named: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with refused(UsageError, named):
        load_training_recipe(path)


def test_recipes_that_are_not_there(tmp_path: Path) -> None:
    for source, named in (("esdr-x4", "edsr-x4"), (tmp_path / "gone.toml", "No such file or directory")):
        with refused(ResourceError, source, named):
            load_training_recipe(source)


@pytest.mark.parametrize("name", SR)
def test_toml_comes_back(name: str, tmp_path: Path) -> None:
    odd = [
        'model.arguments.note="a \\"quoted\\" back\\\\slash, ü and\\na line"',
        'model.arguments.odd="\\u007f\\u0001"',
        'optim.rates={ "trunk.head" = 0.5, "a b" = 1.0, "\\n" = 0.0 }',
        "optim.lr_final=1e-7",
        "seed=5",
    ]
    recipe = load_training_recipe(name, odd)
    path = tmp_path / "resolved.toml"
    path.write_text(to_toml(recipe), encoding="utf-8")
    again = load_training_recipe(path)
    assert again == recipe
    assert again.sha256 == recipe.sha256


@pytest.mark.parametrize(
    "content",
    [
        b"name = '\xff\xfe'",
        b"\x00\x00",
        b"\xef\xbb\xbfname = 'x'",
        b"seed = 1" + b"0" * 5000,
        b"seed = " + b"[" * 5000,
        b"seed = " + b"{ a = " * 5000,
        b"name = 'x'\nname = 'y'",
        b"[a" + b".a" * 5000 + b"]\nb = 1",
        b"<html>",
        b"",
    ],
)
def test_hostile_files_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_training_recipe(path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "value", ["[" * 5000, "1" + "0" * 5000, "{ a = " * 5000, "\x00", "\udcff", "\n[optim]"]
)
def test_hostile_settings_are_refused(value: str, file: Path) -> None:
    with pytest.raises(UsageError):
        load_training_recipe(file, [f"seed={value}"])


def test_the_hash_is_that_of_the_content(file: Path, tmp_path: Path) -> None:
    recipe = load_training_recipe(file)
    other = tmp_path / "other.toml"
    other.write_text("# a remark\n" + MINIMAL + "\n[data]\npatch = 32\n")  # the default, said
    assert load_training_recipe(other).sha256 == recipe.sha256
    assert replace(recipe, seed=1).sha256 != recipe.sha256


@dataclass(frozen=True)
class _Inner:
    size: int | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Outer:
    ratio: float
    inner: _Inner = _Inner()
    anything: dict[str, Any] = field(default_factory=dict)


def test_optional_values_tuples_and_free_tables() -> None:
    table = {"ratio": 1, "inner": {"size": 3, "names": ["a", "b"]}, "anything": {"x": [1, {"y": True}]}}
    outer = from_mapping(_Outer, table)
    assert outer == _Outer(1.0, _Inner(3, ("a", "b")), {"x": [1, {"y": True}]})
    assert isinstance(outer.ratio, float)
    assert to_mapping(outer)["inner"] == {"size": 3, "names": ("a", "b")}
    assert "size" not in to_toml(_Outer(1.0))  # None has no TOML; its absence says the same
    with refused(UsageError, "inner.size", "x", "int"):
        from_mapping(_Outer, {"ratio": 1, "inner": {"size": "x"}})
