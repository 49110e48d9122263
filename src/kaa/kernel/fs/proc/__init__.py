# SPDX-License-Identifier: Apache-2.0
"""procfs: proc(5). `root` has the top directory and the file system, `task_files` what stands in /proc/PID, `links` its
links and fd directories, `system` the files about the machine, `sysctl` /proc/sys, `own` /proc/kaa."""
