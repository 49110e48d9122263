# SPDX-License-Identifier: Apache-2.0
# Either end of a FIFO may be opened first, and its partner may write and close before the other runs again.
mkfifo p
for i in $(seq 60); do (echo via fifo $i > p) & cat p; wait; done
