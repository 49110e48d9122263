# SPDX-License-Identifier: Apache-2.0
cat > h.c <<'X'
#include <stdio.h>
int main(int c, char **v) { printf("hello %d %s\n", c, v[1]); return 5; }
X
gcc -O2 -Wall -o h h.c; echo $?; ./h world; echo $?; gcc -static -o hs h.c && ./hs static; gcc -c h.c && ar rcs libh.a h.o && nm libh.a | grep main; echo 'int main(){retrun 0;}' > e.c; gcc e.c; echo $?; objdump -d h | grep -c main; readelf -h h | head -2; size h | tail -1; strip h; ./h s; ldd ./h | sed 's/(.*//'; file h | cut -c1-20
