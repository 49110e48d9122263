# SPDX-License-Identifier: Apache-2.0
seq 20000 > f; gzip -k f; gzip -l f.gz; zcat f.gz | md5sum; xz -k f; bzip2 -k f; xzcat f.xz | md5sum; bzcat f.bz2 | md5sum; gunzip -f f.gz; ls -l | awk '{print $1,$5,$9}'; zip -q z.zip f; unzip -l z.zip | tail -1; unzip -p z.zip | md5sum
