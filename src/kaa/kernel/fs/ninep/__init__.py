# SPDX-License-Identifier: Apache-2.0
"""The 9P2000.L file system: another machine's files, over virtio.

From below: `channel` (what a transport gives), `request` (one exchange, and the codec), `fids`, `client` (the session),
`operations` (a function per message), `table` (inodes by the server's identity), `inode`, `directory`, `regular`,
`pages` (reading ahead, writing back), `files` (open ones), `superblock` (mounting, options).

cache=loose, the default, takes the tree to be ours alone: names, attributes and pages are asked for once. Any other
value of `cache` asks for attributes at each open and stat, and drops pages of files that changed on the server.

Locks: the VFS's inode locks; below them `Client.lock`, `FidTable.lock`, `InodeTable.lock` (spin), the transport's.
Pages and files hold inodes; inodes hold the superblock, which holds the client; fids hold the client.
"""

from __future__ import annotations
