"""Other people's checkpoints: what spandrel knows gives what spandrel gives; nothing in a file is run."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from srkit.archs.edsr import EDSR
from srkit.errors import ResourceError
from srkit.zoo.foreign import BLEND_OVERLAP
from srkit.zoo.header import Header
from srkit.zoo.load import load_model
from srkit.zoo.loaded import LoadedModel
from srkit.zoo.weights import save_weights
from tests.helpers import refused

spandrel = pytest.importorskip("spandrel")
from spandrel.architectures import (  # noqa: E402
    DAT,
    ESRGAN,
    PLKSR,
    RCAN,
    SAFMN,
    SPAN,
    Compact,
    DnCNN,
    LaMa,
    NAFNet,
    OmniSR,
    RealCUGAN,
    SwinIR,
    Uformer,
)

Make = Callable[[], nn.Module]


def _esrgan() -> nn.Module:
    return ESRGAN.ESRGAN(num_filters=8, num_blocks=1, scale=4)


def _compact() -> nn.Module:
    return Compact.Compact(num_feat=8, num_conv=2, upscale=4)


# Network, its scale, and how it may be tiled.
NETWORKS: dict[str, tuple[Make, int, str]] = {
    "ESRGAN": (_esrgan, 4, "exact"),
    "ESRGAN unshuffled": (
        lambda: ESRGAN.ESRGAN(in_nc=12, num_filters=8, num_blocks=1, scale=4, shuffle_factor=2),
        2,
        "blend",
    ),
    "ESRGAN gray": (
        lambda: ESRGAN.ESRGAN(in_nc=1, out_nc=1, num_filters=8, num_blocks=1, scale=2),
        2,
        "exact",
    ),
    "Compact": (_compact, 4, "exact"),
    "SPAN": (lambda: SPAN.SPAN(num_in_ch=3, num_out_ch=3, feature_channels=48, upscale=2), 2, "exact"),
    "PLKSR": (lambda: PLKSR.PLKSR(dim=16, n_blocks=2, upscaling_factor=2), 2, "exact"),
    "RCAN": (lambda: RCAN.RCAN(scale=2, n_feats=16, n_resgroups=2, n_resblocks=2), 2, "blend"),
    "SwinIR": (
        lambda: SwinIR.SwinIR(
            upscale=2,
            embed_dim=12,
            depths=[2],
            num_heads=[2],
            window_size=8,
            upsampler="pixelshuffledirect",
            mlp_ratio=2,
        ),
        2,
        "blend",
    ),
    "DAT": (
        lambda: DAT.DAT(upscale=2, embed_dim=16, depth=[2], num_heads=[2], split_size=[2, 4]),
        2,
        "blend",
    ),
    "OmniSR": (lambda: OmniSR.OmniSR(up_scale=2, num_feat=16, res_num=1), 2, "blend"),
    "SAFMN": (lambda: SAFMN.SAFMN(dim=16, n_blocks=2, upscaling_factor=2), 2, "blend"),
    "RealCUGAN": (RealCUGAN.UpCunet2x, 2, "blend"),
    "NAFNet": (lambda: NAFNet.NAFNet(width=8, enc_blk_nums=[1, 1], dec_blk_nums=[1, 1]), 1, "blend"),
    "DnCNN gray": (lambda: DnCNN.DnCNN(in_nc=1, out_nc=1, nc=16, nb=17, act_mode="R"), 1, "exact"),
    "Uformer": (lambda: Uformer.Uformer(embed_dim=16), 1, "blend"),
}


def _reference(path: Path, x: torch.Tensor) -> torch.Tensor:
    """What spandrel itself gives, channel by channel for networks of gray images."""
    state = torch.load(path, weights_only=True)
    model = spandrel.ModelLoader().load_from_state_dict(state).eval()
    if model.input_channels == 3:
        return model(x.clone())
    return torch.cat([model(x[:, c : c + 1].clone()) for c in range(3)], 1)


def _allowed(model: LoadedModel, side: int) -> int:
    """The next side that the network's facts allow."""
    multiple = model.info.multiple_of
    return -(-max(side, model.info.min_size) // multiple) * multiple


@pytest.mark.parametrize("name", NETWORKS)
def test_gives_what_spandrel_gives(tmp_path: Path, name: str) -> None:
    make, scale, tiling = NETWORKS[name]
    torch.manual_seed(0)
    path = tmp_path / "model.pth"
    torch.save({"params_ema": make().state_dict()}, path)
    model = load_model(path)
    assert (model.source, model.name, model.header) == ("spandrel", "model", None)
    assert (model.info.scale, model.info.tiling) == (scale, tiling)
    assert model.task == ("sr" if scale > 1 else "restoration")
    assert 1 <= model.overlap <= model.info.receptive_field
    assert not model.network.training
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in model.network.parameters())
    height, width = _allowed(model, 20), _allowed(model, 24)
    x = torch.rand(1, 3, height, width)
    before = x.clone()
    sr = model.network(x)
    assert torch.equal(x, before), "the image was changed in place"
    assert sr.shape == (1, 3, height * scale, width * scale)
    assert sr.dtype == torch.float32
    torch.testing.assert_close(sr.clamp(0, 1), _reference(path, x), atol=1e-4, rtol=0)


def test_facts_are_translated(tmp_path: Path) -> None:
    path = tmp_path / "swin.pth"
    torch.save(NETWORKS["SwinIR"][0]().state_dict(), path)
    info = load_model(path).info
    assert (info.min_size, info.fp16_ok, info.bf16_ok) == (16, False, True)
    assert info.receptive_field == BLEND_OVERLAP
    path = tmp_path / "compact.pth"
    torch.save(_compact().state_dict(), path)
    info = load_model(path).info
    assert (info.min_size, info.multiple_of, info.fp16_ok) == (1, 1, True)
    assert info.receptive_field == 4, "two convolutions of the body, one before and one after"


def test_exact_tiles_agree_with_the_whole(tmp_path: Path) -> None:
    torch.manual_seed(1)
    path = tmp_path / "model.pth"
    torch.save(_esrgan().state_dict(), path)
    model = load_model(path)
    x, overlap, scale = torch.rand(1, 3, 60, 60), model.overlap, model.info.scale
    whole = model.network(x)[..., 20 * scale : 40 * scale, 20 * scale : 40 * scale]
    begin, end = 20 - overlap, 40 + overlap
    tile = model.network(x[..., begin:end, begin:end])
    inner = tile[..., overlap * scale : (overlap + 20) * scale, overlap * scale : (overlap + 20) * scale]
    assert float((whole - inner).abs().max()) <= 1 / 255


def test_runs_in_bf16_with_fp32_images(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(_compact().state_dict(), path)
    model = load_model(path)
    x = torch.rand(2, 3, 8, 8)
    expected = model.network(x)
    sr = model.network.to(torch.bfloat16)(x)
    assert sr.dtype == torch.float32
    torch.testing.assert_close(sr, expected, atol=0.02, rtol=0)


def test_precision_is_tried_not_believed(tmp_path: Path) -> None:
    """SwinIR claims bf16, but makes its attention masks in fp32 at every size but the one it was trained at."""
    path = tmp_path / "swin.pth"
    torch.manual_seed(0)
    torch.save(NETWORKS["SwinIR"][0]().state_dict(), path)
    model = load_model(path)
    assert model.info.bf16_ok
    x = torch.rand(1, 3, 24, 40)
    expected = model.network(x)
    torch.testing.assert_close(model.network.to(torch.bfloat16)(x), expected, atol=0.03, rtol=0)


def test_a_precision_that_loses_too_much_is_not_offered(tmp_path: Path) -> None:
    """Convolutions that amplify and cancel: exact in fp32, garbage in half precision."""
    network = Compact.Compact(num_feat=8, num_conv=2, upscale=4)
    torch.manual_seed(0)
    last = [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
    # Even and odd features are equal up to here, and cancel in the last convolution up to 1 in 10000.
    others = [module for module in network.modules() if isinstance(module, nn.Conv2d)][:-1]
    for conv in others:
        conv.weight.data[1::2] = conv.weight.data[::2] * 1.0001
        if conv.bias is not None:
            conv.bias.data[1::2] = conv.bias.data[::2] * 1.0001
    last.weight.data[:, ::2] = 300 * torch.randn_like(last.weight.data[:, ::2])
    last.weight.data[:, 1::2] = -last.weight.data[:, ::2]
    path = tmp_path / "model.pth"
    torch.save(network.state_dict(), path)
    info = load_model(path).info
    assert (info.bf16_ok, info.fp16_ok) == (False, False)


def test_gradients_reach_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(_compact().state_dict(), path)
    network = load_model(path).network.requires_grad_(True)
    network(torch.rand(1, 3, 8, 8)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


# The same weights in every container that people use.


def _module_prefixed(state: dict[str, Any]) -> dict[str, Any]:
    return {f"module.{key}": value for key, value in state.items()}


@pytest.mark.parametrize(
    ("file", "wrap"),
    [
        ("a.pth", lambda s: s),
        ("a.pt", lambda s: {"params": s}),
        ("a.ckpt", lambda s: {"state_dict": s, "epoch": 3, "lr": 0.1, "note": "x"}),
        ("a.pth", _module_prefixed),
        ("a.PTH", lambda s: {key: nn.Parameter(value) for key, value in s.items()}),
        ("a.ckpt", lambda s: {"state_dict": s, "best": np.float64(31.2), "step": np.int64(7)}),
    ],
)
def test_containers(tmp_path: Path, file: str, wrap: Callable[[dict[str, Any]], Any]) -> None:
    state = _compact().state_dict()
    torch.save(wrap(state), tmp_path / file)
    loaded = load_model(tmp_path / file).network.state_dict()
    for key, value in state.items():
        assert torch.equal(loaded[f"model.{key}"], value)


def test_legacy_pickles_and_safetensors(tmp_path: Path) -> None:
    state = _compact().state_dict()
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "new.safetensors")
    x = torch.rand(1, 3, 6, 6)
    old, new = (load_model(tmp_path / file) for file in ("old.pth", "new.safetensors"))
    assert torch.equal(old.network(x), new.network(x))


# Nothing in a file is run.


class _Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


class _Open:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return open, (str(self.path), "w")


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt"])
@pytest.mark.parametrize("kind", [_Touch, _Open])
@pytest.mark.parametrize("container", ["zip", "legacy", "plain pickle", "beside tensors"])
def test_malicious_pickles_run_nothing(
    tmp_path: Path, suffix: str, kind: Callable[[Path], object], container: str
) -> None:
    proof, path = tmp_path / "proof", tmp_path / f"evil{suffix}"
    evil = kind(proof)
    if container == "plain pickle":
        path.write_bytes(pickle.dumps(evil, protocol=2))
        pickle.loads(path.read_bytes())
        assert proof.exists(), "the file of this test is not malicious"
        proof.unlink()
    elif container == "beside tensors":
        torch.save({"params": _compact().state_dict(), "extra": evil}, path)
    else:
        torch.save(evil, path, _use_new_zipfile_serialization=container == "zip")
    with refused(ResourceError, path):
        load_model(path)
    assert not proof.exists()


def test_malicious_pickles_of_newer_protocols_run_nothing(tmp_path: Path) -> None:
    for protocol in range(3, pickle.HIGHEST_PROTOCOL + 1):
        path, proof = tmp_path / "evil.pth", tmp_path / "proof"
        path.write_bytes(pickle.dumps(_Touch(proof), protocol=protocol))
        with refused(ResourceError, path):
            load_model(path)
        assert not proof.exists()


def test_malicious_pickle_put_into_a_sound_archive(tmp_path: Path) -> None:
    sound, path, proof = tmp_path / "sound.pth", tmp_path / "evil.pth", tmp_path / "proof"
    torch.save(_compact().state_dict(), sound)
    with zipfile.ZipFile(sound) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as target:
        for item in source.infolist():
            data = source.read(item)
            target.writestr(
                item.filename,
                pickle.dumps(_Touch(proof), protocol=2) if item.filename.endswith("data.pkl") else data,
            )
    with refused(ResourceError, path, f"{os.system.__module__}.system"):
        load_model(path)
    assert not proof.exists()


# What is no checkpoint, or not for this.


def _torchscript() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Conv2d(3, 3, 3)), buffer)
    return buffer.getvalue()


def _saved(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _truncated() -> bytes:
    whole = _saved(_compact().state_dict())
    return whole[: len(whole) // 2]


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("a.pth", b"", ()),
        ("a.pth", b"hello", ()),
        ("a.pth", b"\x80\x02", ()),
        ("a.pt", bytes(range(256)), ()),
        ("a.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", ("git lfs pull",)),
        ("a.safetensors", b"hello, world", ("safetensors",)),
        ("a.png", b"hello", (".pth", ".pt", ".ckpt", ".safetensors")),
        ("a.pth", pickle.dumps([1, 2], protocol=2), ()),
        ("a.pth", _saved([1, 2]), ()),
        ("a.pth", _saved({}), ()),
        ("a.pth", _saved({"x": 1}), ()),
        ("a.pth", _truncated(), ()),
        ("a.pt", _torchscript(), ("TorchScript", "state_dict()")),
    ],
)
def test_no_checkpoints(tmp_path: Path, file: str, content: bytes, named: tuple[str, ...]) -> None:
    path = tmp_path / file
    path.write_bytes(content)
    with refused(ResourceError, path, *named):
        load_model(path)


def test_folders_and_missing_files(tmp_path: Path) -> None:
    for path in (str(tmp_path), tmp_path / "a.pth", str(tmp_path / "a.pth")):
        with refused(ResourceError, path):
            load_model(path)


def test_networks_for_other_tasks(tmp_path: Path) -> None:
    path = tmp_path / "fill.pth"
    torch.save(LaMa.LaMa().state_dict(), path)
    with refused(ResourceError, path, "LaMa"):
        load_model(path)
    torch.save(ESRGAN.ESRGAN(in_nc=4, out_nc=4, num_filters=8, num_blocks=1).state_dict(), path)
    with refused(ResourceError, path, "ESRGAN", 4):
        load_model(path)


def test_weights_that_nearly_fit(tmp_path: Path) -> None:
    state = _esrgan().state_dict()
    del state["model.0.bias"]
    torch.save(state, tmp_path / "a.pth")
    with refused(ResourceError, tmp_path / "a.pth", "model.0.bias"):
        load_model(tmp_path / "a.pth")


def test_our_own_weights_bring_none_of_the_heavy_packages(tmp_path: Path) -> None:
    arguments = {"scale": 2, "features": 8, "blocks": 1}
    path = tmp_path / "w.safetensors"
    save_weights(path, EDSR(**arguments), Header(arch="edsr", arguments=arguments, scale=2))
    code = (
        "import sys\nfrom srkit.zoo.load import load_model\n"
        f"load_model({str(path)!r})\n"
        "heavy = {'torchvision', 'spandrel', 'timm', 'open_clip', 'huggingface_hub', 'pyvips', 'cv2'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
