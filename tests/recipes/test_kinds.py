"""Recipes of every kind: the key `kind` picks the dataclass, and the command line's values find their settings."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path

import pytest

from srkit.errors import UsageError
from srkit.recipes.kinds import KINDS, load_training_recipe
from srkit.recipes.load import from_mapping, shipped_recipes, to_mapping, to_toml
from srkit.recipes.train import TrainRecipe
from tests.helpers import refused

SR = 'name = "mine"\n[model]\narch = "edsr"\narguments = { scale = 2 }\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(SR)
    return path


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_loads_and_comes_back(name: str, tmp_path: Path) -> None:
    recipe = load_training_recipe(name, ["seed=5"])
    assert recipe.name == name
    assert type(recipe) is KINDS[recipe.kind].recipe
    path = tmp_path / "resolved.toml"
    path.write_text(to_toml(recipe), encoding="utf-8")
    again = load_training_recipe(path)
    assert again == recipe
    assert again.sha256 == recipe.sha256


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_says_its_name_and_has_the_settings_that_it_names(name: str) -> None:
    kind = KINDS[name]
    fields = {field.name: field for field in dataclasses.fields(kind.recipe)}  # type: ignore[arg-type]
    assert fields["kind"].default == name
    for key in kind.keys.values():
        inner: typing.Any = kind.recipe
        for part in key.split("."):
            hints = {} if typing.get_origin(inner) is dict else typing.get_type_hints(inner)
            assert typing.get_origin(inner) is dict or part in hints, key
            inner = hints.get(part)


def test_the_kind_is_sr_where_nothing_is_said(file: Path) -> None:
    recipe = load_training_recipe(file)
    assert isinstance(recipe, TrainRecipe)
    assert recipe.kind == "sr"
    assert load_training_recipe(file, ["kind=sr"]) == recipe
    assert from_mapping(TrainRecipe, to_mapping(recipe)) == recipe


def test_values_are_settings_by_another_name(file: Path) -> None:
    values = {"steps": 7, "seed": 3, "dtype": "bf16", "scale": 4, "start": "edsr-x4"}
    recipe = load_training_recipe(file, ["optim.steps=5", "data.patch=9"], values)
    settings = ["data.patch=9", "optim.steps=7", "seed=3", "run.precision=bf16", "model.start=edsr-x4"]
    assert recipe == load_training_recipe(file, [*settings, "model.arguments.scale=4"])


def test_kinds_that_are_none_and_values_without_a_setting(file: Path) -> None:
    with refused(UsageError, file, "srr", "sr"):
        load_training_recipe(file, ["kind=srr"])
    with refused(UsageError, file, 3):
        load_training_recipe(file, ["kind=3"])
    with refused(UsageError, file, "sr", "shots"):
        load_training_recipe(file, [], {"shots": 5})
