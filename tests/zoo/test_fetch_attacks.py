"""Servers that mean harm: where they lead, how much they send, what they name."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from srkit.errors import ResourceError
from srkit.progress import Silent
from srkit.zoo import download as download_module
from srkit.zoo.cache import exclusive
from srkit.zoo.download import download, is_local
from srkit.zoo.pull import pull
from tests.zoo.site import Site, files_below

SECRET = "secret of this machine"


@pytest.mark.parametrize(
    "target",
    [
        "file://{secret}",
        "FILE://{secret}",
        "ftp://127.0.0.1/w.pth",
        "data:application/octet-stream,abc",
        "gopher://127.0.0.1/",
        "//{secret}",
        "javascript:1",
        "http://",
        "http://[::1",
    ],
)
def test_redirects_to_other_schemes_are_not_followed(site: Site, tmp_path: Path, target: str) -> None:
    secret = tmp_path / "secret.pth"
    secret.write_text(SECRET)
    site.redirects["/w.pth"] = target.replace("{secret}", str(secret))
    with pytest.raises(ResourceError):
        pull(f"{site.url}/w.pth", pause_s=0.001)
    assert not [name for name in files_below(tmp_path / "cache") if name.startswith("w.pth")]


def test_ordinary_redirects_are_followed_and_endless_ones_are_not(site: Site) -> None:
    site.files["/real/w.pth"] = b"weights"
    site.redirects |= {"/w.pth": f"{site.url}/real/w.pth", "/loop.pth": f"{site.url}/loop.pth"}
    assert pull(f"{site.url}/w.pth").path.read_bytes() == b"weights"
    with pytest.raises(ResourceError):
        pull(f"{site.url}/loop.pth")


@pytest.mark.parametrize(
    ("old", "new", "followed"),
    [
        ("https://a.example/w", "https://b.example/w", True),
        ("http://a.example/w", "https://b.example/w", True),
        ("http://a.example/w", "http://b.example/w", True),
        ("https://a.example/w", "http://a.example/w", False),
        ("https://a.example/w", "ftp://a.example/w", False),
        ("https://a.example/w", "https://127.0.0.1/w", False),
        ("https://a.example/w", "https://localhost/w", False),
        ("https://a.example/w", "https://localhost./w", False),
        ("https://a.example/w", "https://10.0.0.1/w", False),
        ("https://a.example/w", "https://169.254.169.254/latest", False),
        ("https://a.example/w", "https://[::1]/w", False),
        ("https://a.example/w", "https://[fe80::1%25eth0]/w", False),
        ("http://127.0.0.1:1/w", "http://127.0.0.1:2/w", True),
    ],
)
def test_where_redirects_may_lead(old: str, new: str, followed: bool) -> None:
    import urllib.request
    from email.message import Message

    handler = download_module._Redirects()
    request = urllib.request.Request(old)
    if followed:
        redirected = handler.redirect_request(request, None, 302, "Found", Message(), new)
        assert redirected is not None and redirected.full_url == new
    else:
        with pytest.raises(ResourceError) as caught:
            handler.redirect_request(request, None, 302, "Found", Message(), new)
        assert new in str(caught.value)


def test_which_addresses_are_local() -> None:
    local = ("127.0.0.1", "127.9.9.9", "0.0.0.0", "192.168.1.1", "[::1]", "[fc00::1]", "x.localhost")
    assert all(is_local(f"https://{host}/w") for host in local)
    assert not any(is_local(f"https://{host}/w") for host in ("example.org", "8.8.8.8", "[2606:4700::1111]"))


@pytest.mark.parametrize(
    "length", ["9999999999999999999", str(2**60), "1" * 400, "-5", "abc", "1e9", "\u0661"]
)
def test_lengths_that_lie(site: Site, tmp_path: Path, length: str) -> None:
    site.files["/w.pth"] = b"weights"
    site.length = length
    with pytest.raises(ResourceError):
        pull(f"{site.url}/w.pth", pause_s=0.001)
        raise ResourceError("a length that is no number is none")  # the file is then read to its end
    used = sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file())
    assert used < 10_000


def test_a_file_that_the_disk_cannot_hold_is_refused_before_it_is_fetched(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    site.files["/w.pth"] = b"w" * 5000
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=4999))
    with pytest.raises(ResourceError) as caught:
        pull(f"{site.url}/w.pth")
    assert "SRKIT_CACHE" in str(caught.value)
    assert "w.pth" not in files_below(tmp_path)


@pytest.mark.parametrize("named", [True, False])
def test_more_than_expected_is_refused(site: Site, tmp_path: Path, named: bool) -> None:
    site.files["/w.pth"] = b"w" * 3_000_000
    if not named:
        site.length = "none"
    part = tmp_path / "w.part"
    with pytest.raises(ResourceError) as caught:
        download(f"{site.url}/w.pth", part, Silent(), checked=False, limit=1_000_000, pause_s=0.001)
    assert f"{site.url}/w.pth" in str(caught.value)
    assert not part.exists()


def test_files_of_the_cache_have_the_usual_modes(site: Site, tmp_path: Path) -> None:
    site.files["/w.pth"] = b"weights"
    old = os.umask(0o027)
    try:
        path = pull(f"{site.url}/w.pth").path
        with exclusive(path, Silent()):
            pass
    finally:
        os.umask(old)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {0o640}
    assert all(not file.stat().st_mode & 0o027 for file in tmp_path.rglob("*"))
