# SPDX-License-Identifier: Apache-2.0
id; whoami; groups; logname; id nobody; users; tty; who; hostname >/dev/null; uname -sm; nproc >/dev/null; arch
