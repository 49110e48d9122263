# SPDX-License-Identifier: Apache-2.0
grep -rn root /etc/passwd /etc/group; grep -c . /etc/services; grep -rl PATH /etc/profile /etc/login.defs; echo abc | grep -oP 'b(?=c)'; grep x /nonexistent; grep -r abc /proc/self/comm
