# SPDX-License-Identifier: Apache-2.0
set -m; sleep 0.3 & jobs -r | cut -c1-20; fg >/dev/null; echo $?; (sleep 0.1; exit 4) & wait $!; echo $?; wait -n 2>/dev/null; for i in 1 2 3; do (sleep 0.$i; echo $i) & done; wait; echo all
