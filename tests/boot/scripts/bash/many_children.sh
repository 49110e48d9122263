# SPDX-License-Identifier: Apache-2.0
n=0; while (( n < 2000 )); do ((n++)); done; echo $n; for i in $(seq 100); do x=$(echo $i); done; echo $x; seq 100000 | while read a; do :; done; echo done; yes | head -c 5000000 | md5sum; cat /bin/bash | bash -c 'cat | cat | cat' | md5sum; (while :; do echo y; done) | head -1; echo ${PIPESTATUS[0]}
