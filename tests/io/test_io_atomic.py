"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from srkit.errors import SrkitError
from srkit.io.atomic import atomic_path, remove_stale
from tests.helpers import refused


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_target_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".srkit-")
        temporary.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"
    assert names_in(tmp_path) == ["a.json"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_the_earlier_file(tmp_path: Path, failure: type[BaseException]) -> None:
    target = tmp_path / "a.json"
    target.write_text("earlier")
    with pytest.raises(failure), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise failure
    assert target.read_text() == "earlier"
    assert names_in(tmp_path) == ["a.json"]


def test_a_full_disk_is_told_and_other_errors_pass(tmp_path: Path) -> None:
    with refused(SrkitError, tmp_path / "a", os.strerror(errno.ENOSPC)), atomic_path(tmp_path / "a"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a"):
        (tmp_path / "elsewhere").read_bytes()
    assert names_in(tmp_path) == []


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    earlier = os.umask(0o027)
    try:
        with atomic_path(tmp_path / "a"):
            pass
    finally:
        os.umask(earlier)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640


def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    user = os.geteuid()
    if user == 0:  # who may write anywhere
        os.seteuid(65534)
    try:
        with refused(SrkitError, tmp_path / "a"), atomic_path(tmp_path / "a"):
            pass
    finally:
        os.seteuid(user)
        tmp_path.chmod(0o700)
    assert names_in(tmp_path) == []


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from srkit.io.atomic import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as t:\n"
        "    t.write_text('half'); print(t.name, flush=True); time.sleep(60)"
    )
    target = tmp_path / "a.png"
    child = subprocess.Popen([sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    left = child.stdout.readline().strip()
    assert remove_stale(tmp_path) == []  # still being written
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert names_in(tmp_path) == [left]

    pid, host = left.split("-")[2], left.split("-")[1]
    elsewhere = "0" * 8 if host != "0" * 8 else "1" * 8
    others = [
        ".srkit-notes.part",
        f".srkit-{elsewhere}-{pid}-0123456789ab.part",  # of another machine
        f"srkit-{host}-{pid}-0123456789ab.part",
        f".srkit-{host}-{pid}-0123456789ab.part.png",
        "a.png",
    ]
    for name in others:
        (tmp_path / name).write_text("keep")
    (tmp_path / f".srkit-{host}-{pid}-ba9876543210.part").mkdir()
    with atomic_path(tmp_path / "b.png") as mine:
        assert [p.name for p in remove_stale(tmp_path)] == [left]
        assert mine.exists()
    assert {p.name for p in tmp_path.iterdir() if p.is_file()} == {*others, "b.png"}
    assert remove_stale(tmp_path / "missing") == []
