"""Compiled code on disk: one file a program, in a folder of the user's own.

A file is a line of JSON (what the loader must know and a checksum), then constants, then machine code. Nothing in
it is executed before the checksum has been found right; a damaged file is as good as none. The folder must belong
to the user and be writable by nobody else, since code is loaded from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import llvmlite
import numpy as np

from chainrule._version import __version__


@dataclass(frozen=True)
class Entry:
    """A compiled program as it is kept: the code of its modules, its constants, the bytes of working memory it needs.

    ``workers`` are those that each further thread needs; None if one thread does all.
    """

    code: tuple[bytes, ...]
    arena: int
    constants: tuple[np.ndarray, ...]
    workers: int | None = None


def folder() -> Path:
    """Where compiled code is kept: ``CHAINRULE_CACHE_DIR``, or the user's cache folder."""
    named = os.environ.get("CHAINRULE_CACHE_DIR")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / (
        "Library/Caches" if sys.platform == "darwin" else ".cache"
    )
    return Path(base) / "chainrule"


@cache
def source_digest() -> str:
    """Changes whenever a file of the package does, so that code of an older compiler is never loaded."""
    digest = hashlib.sha256(f"{__version__} {llvmlite.__version__} {np.__version__} {sys.byteorder}".encode())
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        info = path.stat()
        digest.update(f"{path.relative_to(root)} {info.st_size} {info.st_mtime_ns}".encode())
    return digest.hexdigest()


def key(*parts: object) -> str:
    """The name of a program's file."""
    text = "\0".join([source_digest(), *map(str, parts)])
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _is_private(path: Path) -> bool:
    info = path.stat()
    if not hasattr(os, "getuid"):
        return True
    return info.st_uid == os.getuid() and not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _usable() -> Path | None:
    path = folder()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path if _is_private(path) else None
    except OSError:
        return None


def load(name: str) -> Entry | None:
    """The entry of that name, or None if there is none that can be trusted."""
    path = _usable()
    if path is None:
        return None
    try:
        file = path / name
        if not _is_private(file):
            return None
        head, _, body = file.read_bytes().partition(b"\n")
        facts = json.loads(head)
        if hashlib.sha256(body).hexdigest() != facts["sha256"]:
            return None
        constants, code, at = [], [], 0
        for dtype, size in facts["constants"]:
            constants.append(np.frombuffer(body, np.dtype(dtype), size, at).copy())
            at += constants[-1].nbytes
        for size in facts["code"]:
            code.append(body[at:at + size])
            at += size
        workers = facts["workers"]
        return Entry(tuple(code), int(facts["arena"]), tuple(constants), None if workers is None else int(workers))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def save(name: str, entry: Entry) -> None:
    """Keep an entry: written aside and renamed, so that a reader sees all of it or nothing. Failure is no error."""
    path = _usable()
    if path is None:
        return
    body = b"".join([*(c.tobytes() for c in entry.constants), *entry.code])
    facts = {"sha256": hashlib.sha256(body).hexdigest(), "arena": entry.arena, "workers": entry.workers,
             "constants": [[c.dtype.str, c.size] for c in entry.constants], "code": list(map(len, entry.code))}
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path)
        with os.fdopen(handle, "wb") as file:
            file.write(json.dumps(facts).encode() + b"\n" + body)
        os.replace(temporary, path / name)
    except OSError:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def clear() -> int:
    """Delete all entries; return how many there were."""
    count = 0
    path = _usable()
    for file in path.iterdir() if path else ():
        with contextlib.suppress(OSError):
            file.unlink()
            count += 1
    return count
