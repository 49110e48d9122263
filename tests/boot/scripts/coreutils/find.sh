# SPDX-License-Identifier: Apache-2.0
mkdir -p a/b/c; touch a/1 a/b/2 a/b/c/3; find . | sort; find a -name '[12]' -newer /etc/passwd -exec echo {} + | sort; find a -type d -empty; find /etc -maxdepth 1 -name 'p*' -printf '%p %m %s %u %y\n' | sort; find a -delete; ls; find /usr/share/doc -type f 2>/dev/null | wc -l
