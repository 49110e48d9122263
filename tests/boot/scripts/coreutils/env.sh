# SPDX-License-Identifier: Apache-2.0
env -i A=1 B=2 env; env -u PATH /bin/echo x; printenv TZ; env FOO=bar sh -c 'echo $FOO'; env nocommand; echo $?
