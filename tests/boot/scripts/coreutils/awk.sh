# SPDX-License-Identifier: Apache-2.0
awk -F: '{ s += $3; print $1 } END { print s; "date +%Y" | getline y; print (y > 2000); system("echo hi") }' /etc/passwd; awk 'BEGIN { while (("ls /etc | head -3" | getline l) > 0) print l; printf "%s\n", ENVIRON["TZ"] ; print "x" > "f"; close("f"); getline z < "f"; print z }'
