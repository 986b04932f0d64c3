"""SRVGGNetCompact: what its colour channels make before anything is learned."""

from __future__ import annotations

import pytest
import torch

from srkit.archs.srvgg import COLOUR_CHANNELS, SRVGG

LUMA = torch.tensor([0.299, 0.587, 0.114])


@pytest.mark.parametrize("scale", [2, 3, 8])
def test_slopes_of_colours_become_planes(scale: int) -> None:
    network = SRVGG(scale, features=8, convs=2, slope=0.5)
    with torch.no_grad():
        network.reconstruction.weight.zero_()
        torch.nn.init.zeros_(network.reconstruction.bias)  # type: ignore[arg-type]
        network.carry_colours([1, 6, 3, 4])
    x, y = torch.meshgrid(torch.arange(6.0), torch.arange(6.0), indexing="xy")
    tint = torch.tensor([0.02, 0.0, -0.03])
    tint = tint - (tint * LUMA).sum()  # colours alone, at one luma
    turn = torch.tensor([0.0, 0.01, 0.02])
    turn = turn - (turn * LUMA).sum()

    def plane(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (0.5 + tint[:, None, None] * x + turn[:, None, None] * y)[None]

    found = network(plane(x, y))
    fine = (torch.arange(6 * scale) + 0.5) / scale - 0.5
    expected = plane(*torch.meshgrid(fine, fine, indexing="xy"))
    inside = (..., slice(scale, -scale), slice(scale, -scale))  # the border sees zeros beside it
    torch.testing.assert_close(found[inside], expected[inside], atol=1e-5, rtol=0)


def test_channels_start_so_where_there_are_enough() -> None:
    network = SRVGG(2, features=COLOUR_CHANNELS + 2, convs=1)
    kept = network.trunk[2].weight[:COLOUR_CHANNELS].detach()
    assert torch.equal(kept[:, :COLOUR_CHANNELS, 1, 1], torch.eye(COLOUR_CHANNELS))
    assert float(kept.abs().sum()) == COLOUR_CHANNELS
    assert SRVGG(2, features=COLOUR_CHANNELS, convs=1)(torch.rand(1, 3, 4, 4)).shape == (1, 3, 8, 8)
