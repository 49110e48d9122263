# SPDX-License-Identifier: Apache-2.0
"""tmpfs: a file system whose only home is the page cache. Also the root that the initramfs is unpacked into."""
