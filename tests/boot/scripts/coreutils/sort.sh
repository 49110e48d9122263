# SPDX-License-Identifier: Apache-2.0
seq 1 3000 | sort -R --random-source=/bin/bash | md5sum; seq 3000 | shuf --random-source=/bin/sh | sort -n | md5sum; sort -t: -k3 -n /etc/passwd | head; sort -S 1M --parallel=2 <(seq 50000 -1 1) | sha1sum
