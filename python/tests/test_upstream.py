"""Flask-SSE's own tests, unmodified, with this package under the name `flask_sse`.

pip downloads them from its package index. They are not part of this repository.
"""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

VERSION = "1.0.0"

#: A plugin of pytest that runs before the tests are collected.
PLUGIN = "import tidecast\n\ntidecast.install_as_flask_sse()\n"


def fetched(folder: Path) -> Path:
    """Downloads the tests, once if `TIDECAST_UPSTREAM` names a folder to keep them, and returns their folder."""
    kept = Path(os.environ.get("TIDECAST_UPSTREAM") or folder)
    archive = kept / f"Flask-SSE-{VERSION}.tar.gz"
    if not archive.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        wanted = ["--no-binary", "flask-sse", f"flask-sse=={VERSION}", "--dest", str(kept)]
        done = subprocess.run([*pip, *wanted], capture_output=True, text=True, timeout=120)
        if done.returncode:
            pytest.skip(f"Flask-SSE's tests cannot be downloaded: {done.stderr.strip().splitlines()[-1]}")
    with tarfile.open(archive) as opened:
        tests = [member for member in opened.getmembers() if "/tests/" in member.name and member.isfile()]
        for member in tests:
            # Without its package: a `flask_sse.py` beside them would be tested instead of ours.
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
