"""Script mode, within the training job's own process: unpack the code, build the environment it asks for, become the script.

``script_mode.py PYTHON ENVIRONMENTS REQUIREMENTS ARCHIVE ENTRY_POINT ARGUMENT...``, run in the code folder; an empty entry
point stands for a command, which follows. Standard library only. It does what SageMaker's training toolkit does before a
script starts; its failures read like the toolkit's. REQUIREMENTS is a file of this machine's, for an environment to run in
instead of PYTHON; the code's own requirements.txt comes on top of either.
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import gzip
import hashlib
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

_REQUIREMENTS = "requirements.txt"
_SETUP = "setup.py"
_BUILT = ".built"
#: Seconds between two looks whether an environment can be built.
_PAUSE_SECONDS = 0.1
#: Seconds for which an environment is kept that nothing uses.
_KEPT_SECONDS = 30 * 86_400
#: How much a failure tells of what an installer said.
_LAST_LINES = 4
#: A first line that the system does not read, for it ends as on Windows; Perl and ``env -S`` take that for a space.
_BROKEN_LINE = re.compile(rb"#!(?![^\n]*(/perl|/env\s+-))[^\n]*\r\n")


class NotPossible(Exception):
    """The script cannot be started; the message is what the toolkit would say."""


def main(arguments: Sequence[str]) -> None:
    """Becomes the script. Returns never; exits with 1 where that is not possible."""
    interpreter, environments, requirements, archive, entry, *rest = arguments
    python = interpreter
    try:
        if archive:
            unpack(archive)
        if requirements:
            python = environment(python, interpreter, Path(environments), Path(requirements), shows_interpreter=False)
        if entry and (Path(_REQUIREMENTS).is_file() or Path(_SETUP).is_file()):
            python = environment(python, interpreter, Path(environments), Path(_REQUIREMENTS), shows_interpreter=True)
        start(python, entry, rest)
    except (NotPossible, OSError, tarfile.TarError, subprocess.SubprocessError) as error:
        sys.stderr.write(f"{error}\n")
        Path("../output/failure").write_text(str(error), encoding="utf-8", errors="backslashreplace")
        sys.exit(1)


def unpack(archive: str) -> None:
    """Unpacks a tar.gz here; nothing in it may lead out of here."""
    if not os.path.isfile(archive):
        raise NotPossible(f"ClientError: there is no {archive!r}")
    try:
        with tarfile.open(archive) as packed:
            if hasattr(tarfile, "data_filter"):
                packed.extractall(".", filter="data")
            else:  # Python before 3.11.4
                packed.extractall(".", members=[checked(m) for m in packed.getmembers()])  # noqa: S202
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError) as error:
        name = os.path.basename(archive)
        raise NotPossible(
            f"ClientError: sagemaker_submit_directory: the code's archive {name!r} cannot be unpacked: {error}. "
            "Make it anew: tar -czf sourcedir.tar.gz -C FOLDER ."
        ) from error


def checked(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """An archive's member, if it is a file or folder below here. Raises NotPossible."""
    inside = os.path.normpath(member.name)
    leads_out = os.path.isabs(member.name) or inside.split(os.sep)[0] == os.pardir
    if leads_out or not (member.isfile() or member.isdir()):
        raise NotPossible(f"ClientError: {member.name!r} in the code's archive is no file or folder of its own")
    return member


def environment(python: str, installer: str, folder: Path, requirements: Path, *, shows_interpreter: bool) -> str:
    """The interpreter of an environment with what a requirements file asks for: built once for each content and interpreter.

    ``installer`` is an interpreter that has pip: ``python`` may be of an environment built here, which has none.
    ``shows_interpreter``: whether the interpreter's own packages are there, too.
    """
    target = folder / _digest(python, requirements, shows_interpreter)
    folder.mkdir(parents=True, exist_ok=True)
    mark = folder / f"{target.name}.lock"
    lock = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    # Held by whatever we become, too: what is in use is not swept.
    os.set_inheritable(lock, True)
    while not _is_built(lock, target):
        # Others with the same requirements wait for who builds it, and then find it built.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Somebody else builds it first; or somebody removed it, and a job that began in it still runs.
            time.sleep(_PAUSE_SECONDS)
            continue
        os.utime(mark)
        _sweep(folder, mark)
        _build_whole(python, installer, target, requirements, shows_interpreter)
    os.utime(mark)
    return str(target / "bin" / "python")


def _is_built(lock: int, target: Path) -> bool:
    """Whether an environment is there, which we share from then on; waits while somebody is building it."""
    fcntl.flock(lock, fcntl.LOCK_SH)
    return (target / _BUILT).exists()


def _build_whole(python: str, installer: str, target: Path, requirements: Path, shows_interpreter: bool) -> None:
    """Builds an environment, or leaves none: on a full disk half of one would be in everybody's way."""
    shutil.rmtree(target, ignore_errors=True)
    try:
        _build(python, installer, target, requirements, shows_interpreter)
    except BaseException:
        shutil.rmtree(target, ignore_errors=True)
        raise
    (target / _BUILT).touch()


def _sweep(folder: Path, newest: Path) -> None:
    """Makes room for a new environment: removes those that nothing has used for long. What cannot be looked at stays."""
    now = newest.stat().st_mtime
    for mark in folder.glob("*.lock"):
        with contextlib.suppress(OSError), mark.open("r+") as lock:
            if now - mark.stat().st_mtime > _KEPT_SECONDS:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Who began to use it meanwhile has marked that before it let us have the lock.
                if now - mark.stat().st_mtime > _KEPT_SECONDS:
                    # First what says that it is whole: we may be ended meanwhile.
                    (mark.with_suffix("") / _BUILT).unlink(missing_ok=True)
                    shutil.rmtree(mark.with_suffix(""), ignore_errors=True)


def start(python: str, entry: str, arguments: Sequence[str]) -> None:
    """Becomes the entry point, or the command that the arguments are where there is none."""
    variables = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (os.getcwd(), os.environ.get("PYTHONPATH"))))}
    variables["PATH"] = os.pathsep.join((str(Path(python).parent), variables.get("PATH", os.defpath)))
    if entry and not _is_module(entry) and not Path(entry).is_file():
        raise NotPossible(f"ClientError: sagemaker_program: the code has no file {entry!r}; it has {_listed()}")
    if entry and not _is_module(entry) and not entry.endswith(".py"):
        _check_first_line(entry)
        os.chmod(entry, 0o777)  # noqa: S103
    sys.stdout.flush()
    words = [*command(python, entry), *arguments] if entry else [*arguments]
    try:
        os.execvpe(words[0], words, variables)  # noqa: S606
    except OSError as error:
        raise NotPossible(f"ClientError: the program {words[0]!r} could not be started: {error.strerror}") from error


def _check_first_line(entry: str) -> None:
    """Raises NotPossible where a shell would say of a script that is there that it is not found."""
    with open(entry, "rb") as script:
        if _BROKEN_LINE.match(script.read(256)):
            way_out = f"sed -i 's/\\r$//' {entry} gives it those of Linux"
            reason = f"the lines of {entry!r} end as on Windows, and its first names no program; {way_out}"
            raise NotPossible(f"ClientError: sagemaker_program: {reason}")


def _listed() -> str:
    """The first of the code's files, as a refusal names them."""
    names = sorted(str(path) for path in Path().rglob("*") if path.is_file())
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "") or "no files at all"


def command(python: str, entry: str) -> list[str]:
    """What starts an entry point: a Python file, a module where the code is a package, else any program."""
    if _is_module(entry):
        return [python, "-m", entry.removesuffix(".py").replace("/", ".")]
    if entry.endswith(".py"):
        return [python, entry]
    # By a shell, so that one without a first line that names its interpreter is a shell script.
    return ["/bin/sh", "-c", 'exec "./$0" "$@"', entry]


def _is_module(entry: str) -> bool:
    """Whether to run it as a module: the code brings a setup.py, as the toolkit has it, or there is no such file."""
    if entry.endswith(".sh"):
        return False
    return Path(_SETUP).is_file() or not (entry.endswith(".py") or Path(entry).is_file())


def _digest(python: str, requirements: Path, shows_interpreter: bool) -> str:
    """Named after all that the environment depends on: the interpreter, and files that requirements may refer to."""
    # An environment's interpreter is a link: where it stands tells one from another, where it leads tells of an upgrade.
    found = hashlib.sha256(os.fsencode(f"{os.path.abspath(python)}\0{os.path.realpath(python)}\0{shows_interpreter}\0"))
    if not shows_interpreter:
        read = {requirements} | _referred(requirements)
    else:
        # The code's own: all of it where it is a package that is installed, else what requirements may refer to.
        read = {p for p in (Path().rglob("*") if Path(_SETUP).is_file() else Path().glob("*.txt")) if p.is_file()}
    for path in sorted(read):
        found.update(os.fsencode(path) + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()[:32]


def _referred(requirements: Path) -> set[Path]:
    """The files that a requirements file includes or is constrained by, those that they name among them."""
    found, unread = set[Path](), [requirements]
    while unread:
        file = unread.pop()
        # Its encoding is the installer's business.
        named = re.findall(rb"^\s*(?:-r|-c|--requirement|--constraint)[\s=]*(\S+)", file.read_bytes(), re.MULTILINE)
        further = {path for name in named if (path := file.parent / os.fsdecode(name)).is_file()} - found
        found |= further
        unread += further
    return found


def _build(python: str, installer: str, target: Path, requirements: Path, shows_interpreter: bool) -> None:
    _run([python, "-m", "venv", "--without-pip", str(target)])
    own = str(target / "bin" / "python")
    # Not --system-site-packages: where the interpreter is an environment's, that would show its base and not itself.
    for folder in (target / "lib").glob("python*/site-packages") if shows_interpreter else ():
        (folder / "interpreter.pth").write_text(_packages(python))
    uv = shutil.which("uv")
    install = [uv, "pip", "install", "--python", own] if uv else [installer, "-m", "pip", "--python", own, "install"]
    wanted = ["-r", str(requirements)] if requirements.is_file() else []
    _run([*install, *wanted, *(["."] if shows_interpreter and Path(_SETUP).is_file() else [])])


def _packages(python: str) -> str:
    """The interpreter's folders of packages, a line each."""
    code = "import site; print(*site.getsitepackages(), sep='\\n')"
    return subprocess.run([python, "-c", code], stdout=subprocess.PIPE, text=True, check=True).stdout


def _run(command: Sequence[str]) -> None:
    """Runs it, and shows what it says. Raises NotPossible, with what it said last."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as running:
        said: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)
        for line in running.stderr or ():
            text = line.decode("utf-8", "replace")
            sys.stderr.write(text)
            said.extend([text.rstrip()] if text.strip() else ())
    if running.returncode:
        shown, told = " ".join(command), "\n".join(said)
        raise NotPossible(
            f'InstallRequirementsError: \nExitCode {running.returncode}\nErrorMessage "{told}"\nCommand "{shown}"'
        )


if __name__ == "__main__":
    main(sys.argv[1:])
