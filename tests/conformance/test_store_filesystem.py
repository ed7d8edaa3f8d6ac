"""A network file system under SQLite is refused, wherever it is mounted and however its name is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from rekindle.domain.errors import InvalidValue
from rekindle.storage import filesystem
from rekindle.storage.filesystem import check_local, filesystem_type, parse_mount, parse_mountinfo
from rekindle.storage.store import open_store


def line(point: str, kind: str, fields: str = "shared:1") -> str:
    return f"36 35 98:0 / {point} rw,noatime {fields} - {kind} source rw".replace("noatime  -", "noatime -")


ROOT = line("/", "ext4")


@pytest.mark.parametrize(
    "kind",
    ["nfs", "nfs4", "cifs", "smb3", "9p", "afs", "lustre", "gpfs", "beegfs", "ceph", "fuse.sshfs", "fuse.glusterfs", "vboxsf"],
)
def test_network_types_are_refused_with_the_way_out(kind):
    with pytest.raises(InvalidValue, match=r"REKINDLE_HOME.*network file system.*postgresql://") as caught:
        check_local(Path("/mnt/lab/rekindle"), f"{ROOT}\n{line('/mnt/lab', kind)}")
    assert f"({kind})" in str(caught.value)


@pytest.mark.parametrize(
    "kind", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "apfs", "fuse.bindfs", "fuseblk", "virtiofs"]
)
def test_types_of_this_machine_pass(kind):
    check_local(Path("/mnt/lab/rekindle"), f"{ROOT}\n{line('/mnt/lab', kind)}")


def test_the_longest_mount_point_decides():
    mounts = "\n".join([ROOT, line("/mnt", "nfs"), line("/mnt/lab/disk", "ext4"), line("/mnt/lab", "cifs")])
    assert filesystem_type(Path("/home"), mounts) == "ext4"
    assert filesystem_type(Path("/mnt/x"), mounts) == "nfs"
    assert filesystem_type(Path("/mnt/lab/x"), mounts) == "cifs"
    assert filesystem_type(Path("/mnt/lab/disk/x/y"), mounts) == "ext4"
    assert filesystem_type(Path("/mnt/lab/disk2"), mounts) == "cifs", "a prefix of a name is not a folder"


def test_what_is_mounted_later_over_the_same_place_decides():
    assert filesystem_type(Path("/data/x"), f"{ROOT}\n{line('/data', 'autofs')}\n{line('/data', 'nfs4')}") == "nfs4"
    assert filesystem_type(Path("/x"), f"{line('/', 'rootfs')}\n{ROOT}") == "ext4"


def test_octal_escapes_and_optional_fields():
    mounts = "\n".join(
        [
            ROOT,
            line(r"/my\040lab\011\134x", "nfs"),
            line("/none", "cifs", fields=""),
            line("/two", "9p", fields="shared:1 master:2"),
        ]
    )
    assert filesystem_type(Path("/my lab\t\\x/home"), mounts) == "nfs"
    assert filesystem_type(Path("/none"), mounts) == "cifs"
    assert filesystem_type(Path("/two"), mounts) == "9p"


def test_lines_of_another_form_are_left_out():
    assert parse_mountinfo("\nnonsense\n1 2 3 - ext4\n36 35 98:0 / /x rw - \n") == []
    assert filesystem_type(Path("/x"), "") is None
    check_local(Path("/x"), "")


def test_what_mount_prints_elsewhere():
    text = (
        "/dev/disk3s1 on / (apfs, sealed, local)\nserver:/a b on /Volumes/a on b (nfs, nodev)\nmap -hosts on /net (autofs)\n?"
    )
    assert parse_mount(text) == [("/", "apfs"), ("/Volumes/a on b", "nfs"), ("/net", "autofs")]


def test_a_symbolic_link_is_followed(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far")
    assert filesystem_type(tmp_path / "near" / "home", f"{ROOT}\n{line(str(tmp_path / 'far'), 'nfs')}") == "nfs"


def test_this_machine_can_be_told(tmp_path):
    assert filesystem_type(tmp_path) is not None
    check_local(tmp_path)


def test_a_store_on_a_network_file_system_is_not_opened(tmp_path, monkeypatch):
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"{ROOT}\n{line(str(tmp_path), 'nfs4')}\n")
    monkeypatch.setattr(filesystem, "_MOUNTINFO", mounts)
    with pytest.raises(InvalidValue, match="network file system"):
        open_store(f"sqlite:///{tmp_path / 'home' / 'rekindle.db'}")
    assert not (tmp_path / "home").exists(), "nothing is made there"
