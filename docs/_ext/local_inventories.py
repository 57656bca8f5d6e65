"""Inventories of other documentation, for builds without a connection, and of Keras.

Keras publishes no inventory. Each file ``inventories/*.txt`` has a line for each name: its role
and its place.
"""

import zlib
from pathlib import Path


def write_inventory(source: Path, target: Path) -> None:
    """Turn a list of names into an inventory that intersphinx reads."""
    lines = []
    for line in source.read_text().splitlines():
        name, role, place = line.split()
        lines.append(f"{name} py:{role} 1 {place} -\n")
    header = f"# Sphinx inventory version 2\n# Project: {source.stem}\n# Version: \n"
    header += "# The remainder of this file is compressed using zlib.\n"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(header.encode() + zlib.compress("".join(lines).encode()))
