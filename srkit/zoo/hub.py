"""Download from the Hugging Face Hub through its own client, which resumes and uses the user's login."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from srkit.errors import ResourceError, first_line
from srkit.progress import Progress
from srkit.zoo.source import Hub

_WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt")


def with_file(hub: Hub) -> Hub:
    """The source with a file name; by default that of the repository's only checkpoint.

    Raises:
        ResourceError: the repository cannot be read, or holds no or several checkpoints.
    """
    if hub.file is not None:
        return hub
    import huggingface_hub

    try:
        files = huggingface_hub.HfApi().list_repo_files(hub.repo, revision=hub.revision)
    except Exception as error:  # see `_failed`
        raise _failed(hub, error) from error
    found = [file for file in files if file.lower().endswith(_WEIGHTS) and ".." not in file.split("/")]
    if len(found) != 1:
        what = f"several checkpoints ({', '.join(found[:8])})" if found else "no checkpoint"
        raise ResourceError(
            f"The repository '{hub.repo}' holds {what}; name one as hf:{hub.repo}/FILE, ending in one of "
            f"{', '.join(_WEIGHTS)}."
        )
    return replace(hub, file=found[0])


def fetch_from_hub(
    hub: Hub, staging: Path, progress: Progress, announce: Callable[[int | None], None]
) -> tuple[Path, str | None]:
    """Download a file into the folder `staging`, resuming an earlier attempt.

    Args:
        announce: called with the size stated by the Hub, before the first byte.

    Returns:
        The file, and its SHA-256 according to the Hub (None: the Hub has it for large files only).

    Raises:
        ResourceError: the repository, revision or file does not exist, access is denied, or there is no connection.
    """
    import huggingface_hub

    hub = with_file(hub)
    file = hub.file or ""
    try:
        url = huggingface_hub.hf_hub_url(hub.repo, file, revision=hub.revision)
        metadata = huggingface_hub.get_hf_file_metadata(url)
        announce(metadata.size)
        progress.start(f"Fetching {file}", metadata.size)
        try:
            # By commit, so that the file matches the checksum.
            with no_bars():
                path = huggingface_hub.hf_hub_download(
                    hub.repo, file, revision=metadata.commit_hash or hub.revision, local_dir=staging
                )
            progress.advance(metadata.size or 0)
        finally:
            progress.finish()
    except ResourceError:
        raise
    except Exception as error:  # see `_failed`
        raise _failed(hub, error) from error
    etag = metadata.etag or ""
    return Path(path), etag if re.fullmatch(r"[0-9a-f]{64}", etag) else None


@contextlib.contextmanager
def no_bars() -> Iterator[None]:
    """Disable the client's progress bars, in favour of the caller's progress."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    already = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not already:
            enable_progress_bars()


def _failed(hub: Hub, error: Exception) -> ResourceError:
    """Error for any exception of the client, including those of its HTTP library, which differs between versions."""
    from huggingface_hub import errors

    what = "cannot be fetched"
    if isinstance(error, errors.GatedRepoError):
        why = "its owner grants access on request; ask there and log in with `hf auth login`"
    elif isinstance(error, errors.RepositoryNotFoundError):
        why = "there is no such repository, or it is private; check the name or log in with `hf auth login`"
    elif isinstance(error, errors.RevisionNotFoundError):
        why = f"the repository has no revision '{hub.revision}'"
    elif isinstance(error, errors.EntryNotFoundError) and not isinstance(
        error, errors.LocalEntryNotFoundError
    ):
        why = f"the repository has no file '{hub.file}'"
    else:
        why = f"{first_line(error)}; try again later"
    return ResourceError(f"'{hub.text}' {what} from the Hugging Face Hub: {why}.")
