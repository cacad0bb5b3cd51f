"""Packs what a stretch on another machine has made into parts of at most 15 MiB, and puts them together again.

python bring.py pack work parts       # there
python bring.py unite parts work      # here
"""

from __future__ import annotations

import hashlib
import io
import sys
import tarfile
from pathlib import Path

PART = 15 * 2**20
WANTED = ("ema/*.safetensors", "vae/*", "clip/*", "tokenizer/*", "*/config.json", "*.log", "*.png")


def pack(work: Path, out: Path) -> None:
    """One archive of the averaged weights and logs, cut into parts, with its checksum beside them."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for file in sorted(f for pattern in WANTED for f in work.glob(pattern)):
            tar.add(file, file.relative_to(work))
    data = whole.getvalue()
    for number, start in enumerate(range(0, len(data), PART)):
        (out / f"part{number}").write_bytes(data[start : start + PART])
    (out / "sha256").write_text(hashlib.sha256(data).hexdigest())


def unite(parts: Path, work: Path) -> None:
    """Unpacks the parts, once their checksum is right."""
    data = b"".join(f.read_bytes() for f in sorted(parts.glob("part*")))
    if hashlib.sha256(data).hexdigest() != (parts / "sha256").read_text():
        raise SystemExit(f"{parts}: the parts are not what was packed; bring them again.")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.4 and newer
        tar.extractall(work, **safely)


if __name__ == "__main__":
    {"pack": pack, "unite": unite}[sys.argv[1]](Path(sys.argv[2]), Path(sys.argv[3]))
