"""The layer law (layers.txt) and the list of the project's files, for all lints."""

import os
import subprocess

SKIPPED = (".git", "__pycache__")


class Law:
    """layers: folder -> folders whose headers it may include; third_party: header -> the places that
    may include it; libraries: folder -> names of the libraries that it links against; variables:
    (name, file) of the few that may change."""

    def __init__(self, path):
        self.layers, self.third_party, self.libraries, self.variables = {}, {}, {}, set()
        with open(path, encoding="utf-8") as lines:
            for line in lines:
                words = line.split()
                if not words or line.startswith("#"):
                    continue
                if words[0] == "third-party":
                    self.third_party.setdefault(words[1], []).extend(words[2:])
                elif words[0] == "libraries":
                    self.libraries[words[1].rstrip(":")] = words[2:]
                elif words[0] == "global":
                    self.variables.add((words[1], words[2]))
                else:
                    self.layers[words[0].rstrip(":")] = words[1:]

    def layer_of(self, path):
        """The layer whose folder holds path, or None."""
        found = [layer for layer in self.layers if path.startswith(layer + "/")]
        return max(found, key=len) if found else None


def project_files(root):
    """Paths, from root, of what is in the project: tracked or not ignored; without git, everything
    outside the folders that .gitignore names."""
    try:
        out = subprocess.run(
            ["git", "-C", root, "ls-files", "-co", "--exclude-standard", "-z"],
            check=True, capture_output=True).stdout
        top = subprocess.run(["git", "-C", root, "rev-parse", "--show-toplevel"],
                             check=True, capture_output=True, text=True).stdout.strip()
        if os.path.realpath(top) == os.path.realpath(root):
            paths = [p.decode("utf-8", "surrogateescape") for p in out.split(b"\0") if p]
            return sorted(p for p in set(paths) if os.path.isfile(os.path.join(root, p)))
    except (OSError, subprocess.CalledProcessError):
        pass
    paths = []
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in SKIPPED
                      and not (folder == root and f.startswith(("build", "sonde-quickstart")))]
        paths += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    return sorted(paths)
