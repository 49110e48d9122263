# SPDX-License-Identifier: Apache-2.0
echo 1 > a; mv -v a b; mkdir d; mv b d; mv d/b /dev/shm/kb 2>&1 || echo noshm; cat /dev/shm/kb && rm /dev/shm/kb; echo x > m; echo y > n; mv -n m n; cat n; mv -T m n; cat n; mv --backup n n2; ls; mv nothere x; mv d d/e; rmdir d; rename 2>/dev/null; ls
