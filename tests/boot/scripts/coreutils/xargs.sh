# SPDX-License-Identifier: Apache-2.0
seq 100 | xargs -n 10 echo | md5sum; seq 20 | xargs -P 4 -I{} sh -c 'echo {}' | sort -n | md5sum; printf 'a\0b c\0' | xargs -0 -n1 echo; echo x | xargs false; echo $?; echo x | xargs -I{} sh -c 'exit 255'; echo $?; seq 100000 | xargs echo | wc
