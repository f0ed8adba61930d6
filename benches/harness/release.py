"""The release server: how it is built and started."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
GATEPOST, FLOOR = TARGET / "release/gatepost", TARGET / "floor/release/floor"


def cargo(*arguments):
    subprocess.run(["cargo", *arguments], cwd=ROOT, check=True)


def build_server():
    cargo("build", "--release", "--locked", "--quiet")


def build_floor():
    floor = ["--manifest-path", ROOT / "benches/floor/Cargo.toml", "--target-dir", TARGET / "floor"]
    cargo("build", "--release", "--locked", "--quiet", *floor)


def serve(data_dir):
    """The command that `Server` takes."""
    return [GATEPOST, "serve", "--listen", "127.0.0.1:PORT", "--data-dir", data_dir]
