"""One tiny recipe for each kind of training, and for each variant that trains by other code.

Every test in test_training_kinds.py runs on every case; a new kind adds one.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srkit.recipes.kinds import KINDS, TrainingRecipe, training_recipe
from srkit.recipes.load import merge
from srkit.tasks.train import TrainJob

Refusal = str | tuple[str, ...]
"""A setting, and what the error names instead of its key and value."""


@dataclass(frozen=True)
class Case:
    """A recipe of a few steps, what its run leaves, and settings with what they change or are refused for.

    Settings are lines of TOML that are laid over the recipe: `optim.lr = 0.1`.
    """

    table: str
    """The recipe as TOML."""
    header: dict[str, Any]
    """Fields of the weights' header."""
    score: tuple[str, ...]
    """Where the header has the score on the held-out images."""
    logged: str
    """The score's name in metrics.jsonl."""
    best: Callable[[list[float]], float] | None = max
    """Which of the logged scores is that of the weights; None: some of them."""
    steps: int = 5
    longer: str = "optim.steps = 7"
    """The setting that makes it two steps longer."""
    rate: str = "optim.lr"
    """The setting that makes it diverge where it is huge, and worse where it is `large`."""
    large: float = 1.0
    stages: tuple[str, ...] = ("",)
    """Folders of its checkpoints, in the run's folder."""
    images: int = 3
    """That it says it was trained on."""
    warns: bool = True
    """Whether it says at once which images it cannot use."""
    held_out: tuple[str, ...] = ("0.png", "3.png", "6.png")
    counts: tuple[str, ...] = ()
    """Settings that change the weights, beside the seed."""
    others: tuple[Refusal, ...] = ()
    """Settings with which a run of this recipe is not resumed; the error names the run's folder too."""
    refused: tuple[Refusal, ...] = ()
    """Settings that make no sense."""

    @property
    def kind(self) -> str:
        return str(tomllib.loads(self.table).get("kind", "sr"))

    @property
    def starts(self) -> bool:
        """Whether it can start from weights."""
        return "start" in KINDS[self.kind].keys

    def recipe(self, *settings: str, **values: Any) -> TrainingRecipe:
        """The recipe with settings laid over it, and with values of `srkit.recipes.kinds.Kind.keys`."""
        table = {"name": "tiny", **tomllib.loads(self.table)}
        merge(table, tomllib.loads("\n".join(settings)))
        return training_recipe(table, self.kind, values)

    def job(self, data: Path, output: Path, *settings: str, **values: Any) -> TrainJob[Any]:
        recipe = self.recipe(*settings, **values)
        return TrainJob(recipe, (data,), output, device="cpu", training_data="rendered", licence="CC0-1.0")


def named_by(refusal: Refusal) -> tuple[str, tuple[str, ...]]:
    """The setting, and what the error must name: the setting's key and value where nothing else is said."""
    if not isinstance(refusal, str):
        return refusal[0], refusal[1:]
    key, _, _ = refusal.partition(" = ")
    value = tomllib.loads(f"v = {refusal[len(key) + 3 :]}")["v"]
    return refusal, (key, str(value))


def LAST(values: list[float]) -> float:  # noqa: N802
    """The `best` of a kind that chooses nothing."""
    return values[-1]


OPTIM = """
[optim]
steps = 5
lr = 1e-3
warmup_steps = 0
[run]
validate_every = 2
checkpoint_minutes = 1000
precision = "fp32"
"""
PAIRS = """
[data]
patch = 8
batch = 2
holdout_every = 3
"""
EDSR_ARGUMENTS = {"scale": 2, "features": 8, "blocks": 1, "upsampler": "single"}
EDSR = """
[model]
arch = "edsr"
arguments = { scale = 2, features = 8, blocks = 1, upsampler = "single" }
"""
CDASR = """
[model]
arch = "cdasr"
[model.arguments]
scale = 2
features = 8
blocks = 1
upsampler = "single"
semantic_dim = 128
token_channels = 256
hidden = 8
aligned = 8
token_features = 4
"""
CRIA = """
[model]
arch = "cria"
[model.arguments]
scale = 2
features = 8
blocks = 1
trunk = "edsr"
width = 8
mask_width = 8
upsampler = "single"
"""

CLIPSR = (
    """
kind = "clipsr"
[model]
arch = "clipsr"
[model.arguments]
scale = 4
features = 8
blocks = 1
stages = [8, 6]
widths = [4, 6]
prompts = 2
guide_features = 2
readings = 1
reading_blocks = 1
heads = 2
side = 16
[data]
patch = 8
batch = 4
holdout_every = 3
rendered = { sign = 2, portrait = 1 }
rendered_sides = [64]
rendered_batch = 2
[discriminator]
width = 4
narrow = 4
hidden = 4
[providers]
text = "random"
perceptual = "random"
"""
    + OPTIM
)

BLURRED = """
[data]
patch = 8
batch = 2
holdout_every = 3
judged = 2
blur = { scenes = 2, scene_side = 48 }
"""
DIFFUSION = """
[model]
arch = "diffusion"
[model.arguments]
scale = 2
widths = [4, 6, 4]
blocks = 1
width = 4
hidden = 4
steps = 2
nbsr = { features = 8, blocks = 1, trunk = "edsr", code = 5, sft_size = 1 }
"""
STAGE = """
[stages.{name}]
recipe = "edsr-x2"
[stages.{name}.set.model]
start = ""
arguments = {{ features = 8, blocks = {blocks}, upsampler = "single" }}
[stages.{name}.set]
data = {{ patch = 8, batch = 2, holdout_every = 3 }}
optim = {{ steps = {steps}, lr = 1e-3, warmup_steps = 0 }}
run = {{ validate_every = 2, checkpoint_minutes = 1000 }}
"""

_OPTIM: tuple[Refusal, ...] = (
    "optim.steps = 0",
    "optim.lr = 0.0",
    "optim.lr = nan",
    "optim.betas = [0.9]",
    "optim.ema = 1.5",
    "optim.rates.trunk = -1.0",
    "run.validate_every = 0",
    "data.holdout_every = 1",
    "seed = -1",
)
_RENDERED: tuple[Refusal, ...] = (
    ("data.rendered.sing = 2", "data.rendered", "sing", "sign"),
    ("data.rendered_batch = 0", "data.rendered_batch", "0"),
    ("data.rendered_batch = 4", "data.rendered_batch", "4"),
    ("data.rendered.sign = 0", "data.rendered", "0"),
    ("data.rendered_sides = [64]\ndata.patch = 40", "data.rendered_sides", "40"),
)
_CROPS: tuple[Refusal, ...] = (*_OPTIM, "data.batch = 0", "data.patch = -1", ('model.arch = "esdr"', "esdr"))

CASES = {
    "sr": Case(
        EDSR + PAIRS + OPTIM,
        {"arch": "edsr", "arguments": EDSR_ARGUMENTS, "providers": {}},
        ("scores", "classical", "held out", "psnr"),
        "val_psnr",
        counts=("optim.lr = 1e-2", "loss = { l1 = 0.0, l2 = 1.0 }", "data.augment = false"),
        others=(
            ("model.arguments.features = 6", "features=8", "features=6"),
            ('model.arch = "cria"\nmodel.arguments.width = 5', "edsr", "cria", "width=5"),
        ),
        refused=(
            *_CROPS,
            "data.workers = -1",
            "data.sizes = []",
            "data.sizes = [1.0, 1.5]",
            "data.sizes = [0.0]",
            "run.gradients_every = -1",
            ("model.arguments.scale = 7", "EDSR", "7"),
            ("loss_every = { l1 = 2 }", "loss_every"),
            ("optim.rates = { trunc = 0.1 }", "optim.rates", "trunc", "trunk"),
            ("loss = { perceptual = 1.0 }", "providers.perceptual"),
            ("loss = { l3 = 1.0 }", "l3"),
        ),
    ),
    "sr, streamed": Case(
        EDSR + PAIRS + 'residency = "stream"\nworkers = 0\n' + OPTIM,
        {"arch": "edsr"},
        ("scores", "classical", "held out", "psnr"),
        "val_psnr",
        images=5,
        warns=False,  # what cannot be read is found out as it streams
    ),
    "sr, rendered": Case(
        EDSR + PAIRS + "rendered = { sign = 2 }\nrendered_batch = 1\nrendered_sides = [64]\n" + OPTIM,
        {"arch": "edsr"},
        ("scores", "classical", "held out", "psnr"),
        "val_psnr",
        images=3 + 2,
        counts=("data.rendered = { manga = 2 }", "data.batch = 3"),
        refused=_RENDERED,
    ),
    "sr, degraded": Case(
        EDSR + PAIRS + 'degradation = "mild"\n' + OPTIM,
        {"arch": "edsr"},
        ("scores", "classical", "held out, degraded (mild)", "psnr"),
        "val_psnr",
        counts=('data.degradation = "real-esrgan"', "data.ranges.first.noise = [2.0, 3.0]"),
        refused=(
            ('data.degradation = "midl"', "midl", "real-esrgan", "mild"),
            ('data.residency = "stream"', "data.degradation", "mild", "data.residency", "stream"),
            ("data.ranges.sinc = 1.5", "sinc", "1.5"),
            ("data.ranges.second.jpeg = [90, 60]", "jpeg", "[90, 60]"),
            ("data.ranges.second.jpgs = [60, 90]", "data.ranges.second.jpgs"),
            "data.ranges.first = 3",
            ("data.ranges.first.kernels = { iso = 0.9 }", "kernels"),
            ('data.degradation = ""\ndata.ranges.sinc = 0.5', "data.ranges", "sinc", "data.degradation"),
        ),
    ),
    "sr, rendered and degraded": Case(
        EDSR
        + PAIRS
        + 'degradation = "mild"\nrendered = { sign = 2 }\nrendered_batch = 1\nrendered_sides = [64]\n'
        + OPTIM,
        {"arch": "edsr"},
        ("scores", "classical", "held out, degraded (mild)", "psnr"),
        "val_psnr",
        images=3 + 2,
        refused=(("data.rendered_sides = [64]\ndata.patch = 27", "data.rendered_sides", "27"),),
    ),
    "sr, conditioned": Case(
        CDASR
        + PAIRS
        + OPTIM
        + 'gradients_every = 2\n[providers]\nsemantic = "random"\nperceptual = "random"\n'
        + "[loss]\nl1 = 1.0\nperceptual = 0.1\nsemantic = 0.01\n[loss_every]\nsemantic = 2\n",
        {"arch": "cdasr"},
        ("scores", "classical", "held out", "psnr"),
        "val_psnr",
        counts=("loss.semantic = 1.0",),
        refused=(
            ('providers.semantic = ""', "providers.semantic"),
            ('providers.semantic = "compcat"', "compcat"),
            ("model.arguments.semantic_dim = 64", "cdasr", "random", "128", "256", "semantic_dim"),
            ("loss_every = { l1 = 2, perceptual = 2 }", "loss_every"),
        ),
    ),
    "gan": Case(
        'kind = "gan"\n'
        + CRIA
        + '[data]\npatch = 12\nbatch = 2\nholdout_every = 3\ndegradation = "mild"\n'
        + OPTIM
        + '[discriminator]\narguments = { features = 4 }\n[providers]\nperceptual = "random"\n',
        {"arch": "cria"},
        ("scores", "classical", "held out, degraded (mild)", "psnr"),
        "val_psnr",
        best=LAST,
        counts=("loss.unif = 0.0",),
        refused=(
            *_CROPS,
            ("loss.adversarial = 0.0", "loss.adversarial"),
            "loss.align = -1.0",
            "loss.unif = nan",
            ('model.arch = "patchgan"', "model.arch", "patchgan", "cria"),
            ('cria.align = ["ssmi"]', "ssmi", "ssim"),
            ('cria.unif = ["pixel"]', "cria.unif", "pixel"),
            ("cria.unif = []", "cria.unif"),
            ('cria.anchor = "pixle"', "pixle", "pixel"),
            "cria.eta = 0.5",
            "cria.t = 0.0",
            ('discriminator.arch = "patchgun"', "patchgun", "patchgan"),
            ("discriminator.arguments.features = 0", "PatchGAN", "0"),
            "discriminator.factor = 0.0",
            "discriminator.patience = 0",
            "discriminator.betas = [0.9]",
            ("data.patch = 8", "patchgan", "24", "data.patch", "8", "16"),
            ("data.ranges.first.sigma = [3.0, 1.0]", "sigma", "[3.0, 1.0]"),
            ("data.ranges.frist = {}", "data.ranges.frist", "first"),
            ('providers.perceptual = ""', "providers.perceptual"),
        ),
    ),
    "gan, one head": Case(
        'kind = "gan"\n'
        + EDSR
        + '[data]\npatch = 12\nbatch = 2\nholdout_every = 3\ndegradation = "mild"\n'
        + OPTIM
        + '[discriminator]\narguments = { features = 4 }\n[providers]\nperceptual = "random"\n'
        + "[loss]\nalign = 0.0\nunif = 0.0\n",
        {"arch": "edsr"},
        ("scores", "classical", "held out, degraded (mild)", "psnr"),
        "val_psnr",
        best=LAST,
        refused=(("loss.align = 0.1", "loss.align", "0.1", "edsr"),),
    ),
    "encoder, contrast": Case(
        'kind = "encoder"\nobjective = "contrast"\n'
        '[model]\narch = "compact"\narguments = { widths = [8, 8], blocks = [0, 1], dim = 8, side = 32 }\n'
        '[data]\npictures = 4\ndegraded = 2\nsides = [32]\ndomains = ["screen", "texture"]\nrendered = 2\n'
        "rendered_side = 64\nholdout_every = 3\n" + OPTIM,
        {"arch": "compact", "scale": 1, "task": "encoder"},
        ("scores", "held out", "views", "loss"),
        "val_loss",
        best=min,
        images=3 + 4,
        counts=("temperature = 0.5", "quality = 3.0", "data.degraded = 0"),
        others=(("model.arguments.dim = 6",),),
        refused=(
            *_OPTIM,
            ('data.domains = ["screan"]', "data.domains", "screan", "screen"),
            "data.sides = []",
            "data.sides = [16]",
            "data.rendered = 0",
            "data.pictures = 1",
            "data.degraded = -1",
            "temperature = 0.0",
            "quality = -1.0",
            'model.start = "compact"',
            ('objective = "exemplar"', "exemplar", "compact"),
        ),
    ),
    "encoder, exemplar": Case(
        'kind = "encoder"\nobjective = "exemplar"\n'
        '[model]\narch = "judge"\narguments = { widths = [6, 8] }\n'
        '[data]\npictures = 4\ndegraded = 2\nsides = [32]\ndomains = ["screen", "texture"]\nrendered = 2\n'
        "rendered_side = 64\nholdout_every = 3\n" + OPTIM,
        {"arch": "judge", "scale": 1, "task": "judge"},
        ("scores", "held out", "views", "loss"),
        "val_loss",
        best=min,
        images=3 + 4,
    ),
    "diagnose": Case(
        'kind = "diagnose"\n[model]\narch = "diagnose"\narguments = { widths = [6, 8], hidden = 8 }\n'
        '[data]\nside = 32\nbatch = 8\ncrops = 16\nsizes = [1.0]\ndomains = ["screen", "texture"]\nrendered = 2\n'
        "rendered_side = 64\nholdout_every = 3\n" + OPTIM,
        {"arch": "diagnose", "scale": 1, "task": "diagnose"},
        ("scores", "held out", "crops", "loss"),
        "val_loss",
        best=min,
        images=3 + 4,
        counts=("data.mildest = 22.0", "data.strong = 20.0", 'data.degradation = "mild"', "data.batch = 6"),
        others=(("model.arguments.hidden = 6",),),
        refused=(
            *_OPTIM,
            ('data.domains = ["screan"]', "data.domains", "screan", "screen"),
            ('data.degradation = "wilde"', "wilde"),
            "data.side = 16",
            "data.crops = 1",
            "data.mildest = 19.0",
            "data.false_alarms = 1.0",
            'model.start = "judge"',
            ('model.arch = "judge"', "model.arch", "judge"),
        ),
    ),
    "text": Case(
        'kind = "text"\n[model]\narch = "words"\n'
        "arguments = { width = 8, layers = 1, heads = 2, embedding = 4, dim = 128, length = 24 }\n"
        "[data]\nrendered = 1\nrendered_side = 64\npictures = 4\ntexts = 3\nholdout_every = 3\n"
        + OPTIM
        + '[providers]\nsemantic = "random"\n',
        {"arch": "words", "scale": 1, "task": "text"},
        ("scores", "held out", "captions", "loss"),
        "val_loss",
        best=min,
        images=10,  # the photographs have no captions
        counts=("temperature = 0.5", "attributes = 0.0", "data.texts = 0"),
        others=(("model.arguments.width = 16", "width=8", "width=16"),),
        refused=(
            *_OPTIM,
            ("model.arguments.dim = 64", "model.arguments.dim", "64", "128"),
            ("model.arguments.heads = 3", "8", "heads"),
            ('providers.semantic = ""', "providers.semantic"),
            'model.start = "words"',
            "data.rendered = 0",
            "data.rendered_side = 32",
            "data.pictures = 1",
            "temperature = 0.0",
            "attributes = -1.0",
            ('data.captions = "nowhere.tsv"', "nowhere.tsv"),
        ),
    ),
    "clipsr": Case(
        CLIPSR,
        {"arch": "clipsr", "scale": 4},
        ("scores", "classical", "held out", "psnr"),
        "val_psnr",
        images=3 + 3,
        counts=("data.dropout = 1.0", "data.rendered = { manga = 3 }", "loss.lettering = 1.0"),
        others=(("model.arguments.features = 6", "features=8", "features=6"),),
        refused=(
            *_CROPS[:-1],
            ('model.arch = "edsr"\nmodel.arguments = { scale = 4 }', "model.arch", "edsr", "clipsr"),
            ("model.arguments.sentence_dim = 64", "model.arguments.sentence_dim", "64", "random", "128"),
            ('providers.text = ""', "providers.text"),
            ('providers.text = "wards"', "wards", "words"),
            *_RENDERED,
            ('data.degradation = "mild"', "data.degradation", "mild"),
            "data.dropout = 1.5",
            "loss.pixel = -1.0",
            "loss.alignment = -1.0",
            "loss.lettering = -1.0",
            "loss.boxes = -1.0",
            ("loss.pixel = 0.0", "loss"),
            ("data.augment = true\nloss.alignment = 1.0", "data.augment", "loss.alignment"),
            "discriminator.every = 0",
        ),
    ),
    "clipsr, matching": Case(
        CLIPSR + "[loss]\npixel = 1.0\nperceptual = 0.1\nadversarial = 0.01\n",
        {"arch": "clipsr", "scale": 4},
        ("scores", "classical", "held out", "psnr"),
        "val_psnr",
        best=LAST,
        large=0.1,
        images=3 + 3,
        counts=("discriminator.with_text = false", "discriminator.penalty = false"),
    ),
    "kernels": Case(
        'kind = "kernels"\ntarget = "kernels"\n'
        '[model]\narch = "dkenet"\narguments = { scale = 2, features = 8, depth_features = 4 }\n'
        "[loss]\nkernel = 1.0\n" + BLURRED + OPTIM,
        {"arch": "dkenet", "task": "kernels"},
        ("scores", "held out", "kernels", "kernel error"),
        "val_kernel_error",
        best=min,
        counts=("data.every = 3",),
        others=(("model.arguments.features = 12", "features=8", "features=12"),),
        refused=(
            *_OPTIM,
            "data.batch = 0",
            "data.patch = 3",
            "data.every = 0",
            ("loss = { l1 = 1.0 }", "l1", "kernels", "kernel"),
            ("loss = { kernel = 0.0 }", "loss"),
            ('estimator = "dkenet-x4"', "estimator", "dkenet-x4", "kernels"),
            "data.blur.noise = [1.0]",
        ),
    ),
    "kernels, image": Case(
        'kind = "kernels"\ntarget = "picture"\n[model]\narch = "nbsr"\n'
        'arguments = { scale = 2, features = 8, blocks = 1, trunk = "edsr", code = 5, sft_size = 1 }\n'
        "[loss]\nl1 = 1.0\n" + BLURRED + OPTIM,
        {"arch": "nbsr"},
        ("scores", "held out", "picture", "psnr"),
        "val_psnr",
        counts=("data.blur.noiseless = 1.0",),
        refused=(
            ("loss = { kernel = 1.0 }", "kernel", "picture", "l1"),
            ("loss = { semantic = 1.0 }", "semantic"),
            "data.judged = 0",
            ("data.every = 2", "data.every", "2", "picture"),
            ("data.blur.motion = 0.5", "1.45"),
        ),
    ),
    "kernels, depth": Case(
        'kind = "kernels"\ntarget = "depth"\n'
        '[model]\narch = "depth"\narguments = { widths = [4, 6, 8], side = 32 }\n'
        "[loss]\ndepth = 1.0\n" + BLURRED.replace("patch = 8", "patch = 32") + OPTIM,
        {"arch": "depth", "task": "depth", "scale": 1},
        ("scores", "held out", "depth", "depth error"),
        "val_depth_error",
        best=min,
        large=1000.0,
        refused=("data.patch = 16",),
    ),
    "diffusion": Case(
        'kind = "diffusion"\nlearned = "all"\n'
        + DIFFUSION
        + BLURRED.replace("judged = 2", "judged = 2\ncache = 3")
        + OPTIM,
        {"arch": "diffusion", "scale": 2},
        ("scores", "held out", "residual", "rms error"),
        "val_residual_error",
        best=min,
        counts=("data.cache = 0", "loss.features = 1.0", "levels = [0.0, 0.5]", "data.blur.compressed = 1.0"),
        others=(('learned = "prior"', "learned", "all", "prior"),),
        refused=(
            *_OPTIM,
            "data.cache = -1",
            "data.every = 2",
            ("data.patch = 10", "data.patch", "10", "4"),
            "levels = [0.0, 1.5]",
            "levels = [0.5, 0.5]",
            ('learned = "unet"', "learned", "unet"),
            ('learned = "fusion"', "learned", "fusion", "model.start"),
            ("loss.residual = 0.0", "loss.residual", "loss.adversarial"),
            ("loss.pixel = 1.0", "loss.pixel", "loss.adversarial"),
            "loss.features = -1.0",
        ),
    ),
    "diffusion, adversarial": Case(
        'kind = "diffusion"\nlearned = "all"\nlevels = [0.1, 0.5]\n'
        + DIFFUSION
        + BLURRED.replace("patch = 8", "patch = 12")
        + OPTIM
        + "[loss]\nresidual = 0.0\npixel = 1.0\nadversarial = 0.01\ncheckerboard = 0.1\n"
        + "[discriminator]\narguments = { features = 4 }\n",
        {"arch": "diffusion", "scale": 2},
        ("scores", "held out", "residual", "rms error"),
        "val_residual_error",
        best=LAST,
        large=0.01,
        refused=(
            ('learned = "prior"', "loss.adversarial", "learned", "prior"),
            ('discriminator.arch = "patchgun"', "patchgun", "patchgan"),
            ("data.patch = 8", "patchgan", "24", "data.patch", "8", "16"),
        ),
    ),
    "meta": Case(
        'kind = "meta"\n'
        '[tasks]\nclusters = 2\ndomains = ["texture"]\nheld_out = ["screen"]\nrendered = 4\nrendered_side = 64\n'
        "shots = 2\nholdout_every = 3\n"
        "[inner]\nsteps = 2\npatch = 8\nbatch = 2\nrate = 0.01\n"
        "[outer]\nsteps = 5\ntasks = 2\nvalidate_every = 2\njudged = 1\nlr = 0.3\n"
        '[run]\nprecision = "fp32"\ncheckpoint_minutes = 1000.0\n',
        {"arch": "edsr", "arguments": EDSR_ARGUMENTS},
        ("rates", "gains", "screen"),
        "gain/screen",
        best=None,  # chosen by the mean over the domains
        longer="outer.steps = 7",
        rate="outer.lr",
        large=30.0,
        held_out=("screen", "photographs"),
        counts=("inner.second_order = true", 'inner.rule = "adam"', "loss = { l1 = 0.0, l2 = 1.0 }"),
        others=(('inner.granularity = "element"', "inner.granularity"),),
        refused=(
            ('tasks.domains = ["brick"]', "brick"),
            ('tasks.domains = ["screen"]', "screen"),
            ("tasks.shots = 4", "tasks.rendered", "4", "5"),
            "tasks.shots = 0",
            "tasks.holdout_every = 1",
            "inner.steps = 0",
            "inner.batch = 0",
            "inner.patch = 0",
            "inner.rate = -1.0",
            "outer.lr = 0.0",
            "outer.lr = nan",
            "outer.weights_lr = -1.0",
            "outer.steps = 0",
            "outer.tasks = 0",
            "outer.validate_every = 0",
            "outer.judged = 0",
            "seed = -1",
            ("loss = { l3 = 1.0 }", "l3"),
        ),
    ),
    "reconstructor": Case(
        'kind = "reconstructor"\ndistance = "random"\njudged = 2\nfar = { encoder = "random", stage = "stage1" }\n'
        '[model]\narch = "reconstructor"\n[model.arguments]\nscale = 2\nfeatures = 4\nimage_blocks = 1\n'
        "degradation_blocks = 1\nblocks = 1\nembedding = 6\n"
        '[data]\npatch = 24\nbatch = 2\nholdout_every = 3\ndegradation = "mild"\n' + OPTIM,
        {"arch": "reconstructor", "task": "reconstructor"},
        ("scores", "held out", "mild", "reconstruction error"),
        "val_reconstruction_error",
        best=min,
        counts=(
            "far.weight = 0.0",
            "far.contrast = 0.0",
            "controller.noise_std = 1.0",
            "controller.use = false",
            "perceptual = 1.0",
            'data.degradation = "real-esrgan"',
            "data.ranges.first.jpeg = [10, 20]",
            'model.arguments.modulation = "stylegan2"',
        ),
        others=(
            ("model.arguments.features = 5", "features=4", "features=5"),
            ('far.stage = "stage2"', "far.stage", "stage1", "stage2"),
            ('distance = "compact"', "distance", "random", "compact"),
        ),
        refused=(
            *_OPTIM,
            "data.batch = 0",
            ('model.arch = "edsr"', "model.arch", "edsr", "reconstructor"),
            ("model.arguments.described = 5", "model.arguments.described"),
            ('data.degradation = ""', "data.degradation"),
            ('data.degradation = "reel"', "reel"),
            ("data.patch = 20", "data.patch", "20", "22"),
            'far.stage = "layer2"',
            ('far.encoder = "vgg19"', "vgg19"),
            "far.weight = -1.0",
            "flawed = 1.5",
            "controller.noise_std = -0.1",
            "controller.quantile = 1.0",
            ('distance = "lpisp"', "lpisp"),
            "judged = 0",
        ),
    ),
    "stages": Case(
        'kind = "stages"\nscale = 2\nprecision = "fp32"\n'
        + STAGE.format(name="shallow", blocks=1, steps=3)
        + STAGE.format(name="deep", blocks=2, steps=5),
        {"arch": "edsr", "arguments": EDSR_ARGUMENTS | {"blocks": 2}},
        ("scores", "classical", "held out", "psnr"),
        "val_psnr",
        steps=8,
        longer="stages.deep.set.optim.steps = 7",
        rate="stages.deep.set.optim.lr",
        stages=("shallow", "deep"),
        others=(
            ("stages.shallow.set.data.patch = 7", "shallow"),
            ("scale = 3", "shallow"),
        ),
        refused=(
            "stages.deep.share = 0.0",
            ("stages.deep.set.optim.steps = 0", "deep", "optim.steps", "0"),
            ("stages.deep.set.optim.stebs = 1", "deep", "optim.stebs", "steps"),
            "steps = 0",
            ("scale = 7", "EDSR", "7"),
            ('stages."a/b".recipe = "edsr-x4"', "a/b"),
        ),
    ),
}
