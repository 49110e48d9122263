# SPDX-License-Identifier: Apache-2.0
printf 'a\nb\nc\n' > f; sed -i 's/b/B/;3d' f; cat f; sed -n '/a/,$p;$=' f; sed 'w out' f; cat out; ls
