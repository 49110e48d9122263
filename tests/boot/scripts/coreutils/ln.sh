# SPDX-License-Identifier: Apache-2.0
echo hi > a; ln a b; ln -s a c; ln -sf b c; ln -sr a d; readlink -f c d; ls -i a b | awk '{print $1}' | uniq | wc -l; ln -s loop loop; cat loop; readlink -e nothing; echo $?; ln a /dev/x; realpath ../w/./a; link a e; unlink e; ls; ln . z
