# SPDX-License-Identifier: Apache-2.0
dd if=/dev/zero of=f bs=1k count=10 2>/dev/null; dd if=/dev/zero of=f bs=1 seek=100000 count=1 conv=notrunc 2>/dev/null; stat -c '%s %F %a %h' f; dd if=/etc/passwd bs=7 skip=3 count=5 2>/dev/null; echo; dd if=/dev/urandom bs=1000 count=3 status=none | wc -c; dd if=f iflag=fullblock bs=64k status=none | md5sum; truncate -s 5 f; od -c f
