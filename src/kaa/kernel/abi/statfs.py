# SPDX-License-Identifier: Apache-2.0
"""struct statfs of statfs(2), and the magic numbers of the file systems."""

from __future__ import annotations

from kaa.lang import ZERO, Array, i32, i64, struct

TMPFS_MAGIC = 0x01021994
RAMFS_MAGIC = 0x858458F6
PROC_SUPER_MAGIC = 0x9FA0
SYSFS_MAGIC = 0x62656572
V9FS_MAGIC = 0x01021997
PIPEFS_MAGIC = 0x50495045
ANON_INODE_FS_MAGIC = 0x09041934
DEVPTS_SUPER_MAGIC = 0x1CD1

ST_RDONLY = 1
ST_NOSUID = 2
ST_NODEV = 4
ST_NOEXEC = 8
ST_VALID = 0x20
ST_NOATIME = 1024
ST_NODIRATIME = 2048
ST_RELATIME = 4096


@struct
class Statfs:
    """struct statfs, 120 bytes."""

    f_type: i64 = 0
    f_bsize: i64 = 0
    f_blocks: i64 = 0
    f_bfree: i64 = 0
    f_bavail: i64 = 0
    f_files: i64 = 0
    f_ffree: i64 = 0
    f_fsid: Array[i32, 2] = ZERO
    f_namelen: i64 = 0
    f_frsize: i64 = 0
    f_flags: i64 = 0
    f_spare: Array[i64, 4] = ZERO
