"""Unpacks chosen files of a wheel: WHEEL DIRECTORY STRIP KEEP...

`python3 -m zipfile` would unpack everything and lose which files are programs.
"""

import os
import shutil
import sys
import zipfile

wheel, directory, strip, *keep = sys.argv[1:]
kept = 0
with zipfile.ZipFile(wheel) as archive:
    for entry in archive.infolist():
        name = entry.filename
        if entry.is_dir() or not name.startswith(strip):
            continue
        name = name[len(strip):]
        if not name.startswith(tuple(keep)):
            continue
        path = os.path.join(directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with archive.open(entry) as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target)
        program = (entry.external_attr >> 16) & 0o111
        os.chmod(path, 0o755 if program else 0o644)
        kept += 1
if not kept:
    sys.exit(f"{wheel} has none of {keep} below {strip!r}")
