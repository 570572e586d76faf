"""A source meter with a simulator between its terminals, served by a process of its own, for drivers that block."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from brokers import with_paths


@contextmanager
def served_source_meter(*arguments: str) -> Iterator[dict[str, str]]:
    """Serve until the end of the block; gives its ``uri``, and its ``visa`` address."""
    command = [sys.executable, "-m", "inmateria", "serve", *(arguments or ("nanowire://",))]
    with subprocess.Popen(
        [*command, "--scpi", ":0", "--json", "--until-eof"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=with_paths(),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(500)
