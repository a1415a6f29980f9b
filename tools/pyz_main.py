"""First words of ``migratable.pyz``: unpack once into the user's cache, then run from there.

The program starts helpers by their path and reads its data by path, so it runs from files, not out
of the archive. ``DIGEST`` beside this file names the contents: another version unpacks anew.
Plain Python 3.9.
"""

import os
import shutil
import sys
import tempfile
import zipfile


def folder_for(digest: str) -> str:
    """Where this archive's contents are or go: in the user's cache, else a folder for this run."""
    cache = os.environ.get("MIGRATABLE_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "migratable"
    )
    base = os.path.join(cache, "pyz")
    target = os.path.join(base, digest)
    if os.path.isdir(target) and os.stat(target).st_uid == os.geteuid():
        return target
    os.makedirs(base, mode=0o700, exist_ok=True)
    partial = tempfile.mkdtemp(prefix=".partial-", dir=base)
    try:
        with zipfile.ZipFile(sys.argv[0]) as archive:
            archive.extractall(partial)
        os.rename(partial, target)
    except OSError:
        shutil.rmtree(partial, ignore_errors=True)
        if not os.path.isdir(target):  # another process was faster
            raise
    for name in os.listdir(base):  # older versions
        if name != digest and not name.startswith("."):
            shutil.rmtree(os.path.join(base, name), ignore_errors=True)
    return target


def main() -> None:
    """Run the program."""
    if sys.version_info < (3, 9):
        sys.exit("migratable: Python 3.9 or newer is needed; this is " + sys.version.split()[0])
    with zipfile.ZipFile(sys.argv[0]) as archive:
        digest = archive.read("DIGEST").decode("ascii").strip()
    try:
        folder = folder_for(digest)
    except OSError as error:
        place = error.filename or "the user's cache"
        sys.exit(f"migratable: cannot unpack into {place}: {error.strerror}; set MIGRATABLE_CACHE")
    sys.path.insert(0, folder)
    if sys.version_info < (3, 11):
        sys.path.append(os.path.join(folder, "before-3.11"))
    from migratable import compat

    compat.install()
    from migratable.cli import main as run

    run()


main()
