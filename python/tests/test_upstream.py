"""Flask-SSE's own tests, unmodified, under the name `flask_sse`.

They are fetched by name from the package index that pip is set up for, and never kept here.
"""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

VERSION = "1.0.0"

#: What runs before the first of them is collected.
PLUGIN = "import tidecast\n\ntidecast.install_as_flask_sse()\n"


def fetched(folder: Path) -> Path:
    """The folder of their tests, fetched; kept where `TIDECAST_UPSTREAM` says, so that it is fetched once."""
    kept = Path(os.environ.get("TIDECAST_UPSTREAM") or folder)
    archive = kept / f"Flask-SSE-{VERSION}.tar.gz"
    if not archive.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        wanted = ["--no-binary", "flask-sse", f"flask-sse=={VERSION}", "--dest", str(kept)]
        done = subprocess.run([*pip, *wanted], capture_output=True, text=True, timeout=120)
        if done.returncode:
            pytest.skip(f"Flask-SSE's tests can't be fetched: {done.stderr.strip().splitlines()[-1]}")
    with tarfile.open(archive) as opened:
        tests = [member for member in opened.getmembers() if "/tests/" in member.name and member.isfile()]
        for member in tests:
            # Beside nothing else: a `flask_sse.py` next to them would be the one that is tested.
            source = opened.extractfile(member)
            assert source is not None
            (folder / Path(member.name).name).write_bytes(source.read())
    return folder


def test_all_twenty_tests_pass(tmp_path: Path) -> None:
    folder = fetched(tmp_path)
    (folder / "as_flask_sse.py").write_text(PLUGIN)
    pytest_command = [sys.executable, "-m", "pytest", "-p", "as_flask_sse", "-p", "no:cacheprovider", "-q"]
    done = subprocess.run(
        pytest_command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 passed" in done.stdout
