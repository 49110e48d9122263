# SPDX-License-Identifier: Apache-2.0
seq 5 | tee a b | tail -1; cat a b | wc -l; seq 3 | tee -a a >/dev/null; wc -l a; seq 100000 | tee >(md5sum > m1) | md5sum; sleep 0.2; cat m1; seq 10 | tee /dev/full >/dev/null; echo ${PIPESTATUS[1]}
