# SPDX-License-Identifier: Apache-2.0
"""File modes, struct stat and struct statx as user space sees them: inode(7), stat(2), statx(2)."""

from __future__ import annotations

from kaa.lang import ZERO, Array, i32, i64, struct, u16, u32, u64

S_IFMT = 0o170000
S_IFSOCK = 0o140000
S_IFLNK = 0o120000
S_IFREG = 0o100000
S_IFBLK = 0o060000
S_IFDIR = 0o040000
S_IFCHR = 0o020000
S_IFIFO = 0o010000
S_ISUID = 0o4000
S_ISGID = 0o2000
S_ISVTX = 0o1000
S_IXGRP = 0o0010
PERMISSIONS = 0o7777

UTIME_NOW = 0x3FFFFFFF
UTIME_OMIT = 0x3FFFFFFE

STATX_TYPE = 0x1
STATX_MODE = 0x2
STATX_BASIC_STATS = 0x7FF
STATX_BTIME = 0x800
STATX_MNT_ID = 0x1000
STATX_RESERVED = 0x80000000
STATX_ATTR_MOUNT_ROOT = 0x2000


@struct
class Stat:
    """struct stat of x86-64, 144 bytes."""

    st_dev: u64 = 0
    st_ino: u64 = 0
    st_nlink: u64 = 0
    st_mode: u32 = 0
    st_uid: u32 = 0
    st_gid: u32 = 0
    pad0: u32 = 0
    st_rdev: u64 = 0
    st_size: i64 = 0
    st_blksize: i64 = 0
    st_blocks: i64 = 0
    st_atime: i64 = 0
    st_atime_nsec: i64 = 0
    st_mtime: i64 = 0
    st_mtime_nsec: i64 = 0
    st_ctime: i64 = 0
    st_ctime_nsec: i64 = 0
    reserved: Array[i64, 3] = ZERO


@struct
class StatxTimestamp:
    """struct statx_timestamp."""

    tv_sec: i64 = 0
    tv_nsec: u32 = 0
    reserved: i32 = 0


@struct
class Statx:
    """struct statx, 256 bytes."""

    stx_mask: u32 = 0
    stx_blksize: u32 = 0
    stx_attributes: u64 = 0
    stx_nlink: u32 = 0
    stx_uid: u32 = 0
    stx_gid: u32 = 0
    stx_mode: u16 = 0
    pad1: u16 = 0
    stx_ino: u64 = 0
    stx_size: u64 = 0
    stx_blocks: u64 = 0
    stx_attributes_mask: u64 = 0
    stx_atime: StatxTimestamp = ZERO
    stx_btime: StatxTimestamp = ZERO
    stx_ctime: StatxTimestamp = ZERO
    stx_mtime: StatxTimestamp = ZERO
    stx_rdev_major: u32 = 0
    stx_rdev_minor: u32 = 0
    stx_dev_major: u32 = 0
    stx_dev_minor: u32 = 0
    stx_mnt_id: u64 = 0
    stx_dio_mem_align: u32 = 0
    stx_dio_offset_align: u32 = 0
    spare: Array[u64, 12] = ZERO


def is_directory(mode: u32) -> bool:
    """Whether `mode` is a directory's."""
    return (mode & S_IFMT) == S_IFDIR


def is_regular(mode: u32) -> bool:
    """Whether `mode` is a regular file's."""
    return (mode & S_IFMT) == S_IFREG


def is_symlink(mode: u32) -> bool:
    """Whether `mode` is a symbolic link's."""
    return (mode & S_IFMT) == S_IFLNK


def make_device(major: u32, minor: u32) -> u64:
    """A device number as makedev(3) builds it and stat(2) shows it."""
    low = (u64(minor) & 0xFF) | ((u64(major) & 0xFFF) << 8)
    return low | ((u64(minor) & 0xFFFFFF00) << 12) | ((u64(major) & 0xFFFFF000) << 32)


def device_major(device: u64) -> u32:
    """major(3)."""
    return u32(((device >> 8) & 0xFFF) | ((device >> 32) & 0xFFFFF000))


def device_minor(device: u64) -> u32:
    """minor(3)."""
    return u32((device & 0xFF) | ((device >> 12) & 0xFFFFFF00))
