# SPDX-License-Identifier: Apache-2.0
seq 1 .5 4
wc /etc/passwd
printf 'a b\nc d\n' | rev | tac | nl
paste <(seq 3) <(seq 4 6)
join <(printf '1 a\n2 b\n') <(printf '1 x\n2 y\n')
comm <(seq 3) <(seq 2 4)
cut -d: -f1 /etc/passwd | head -2
tr -d aeiou < /etc/passwd | md5sum
fold -w 10 /etc/passwd | md5sum
expand /etc/services | cksum
fmt /etc/services | md5sum
pr /etc/hosts >/dev/null
split -l 100 /etc/services s_
cat s_* | cmp - /etc/services
ls s_*
csplit -s /etc/passwd 3
ls xx*
od -An -tx1 -N 16 /bin/true
base64 /etc/passwd | md5sum
factor 1234567890
expr 3 + 4
numfmt --to=iec 123456
b2sum /bin/ls|md5sum
sha256sum /bin/ls
sum /bin/ls
tsort <<< 'a b'
ptx < /etc/hostname >/dev/null
head -c 20 /etc/passwd
tail -n +5 /etc/passwd | head -1
tail -c 10 /etc/passwd
uniq -c <(printf 'a\na\nb\n')
shuf -i 1-1
strings /bin/true | head -2
xxd /bin/true | head -1
hexdump -C /bin/true | head -2
diff <(seq 3) <(seq 4)
cmp /bin/ls /bin/cat
iconv -f utf8 -t latin1 <<< é | od -c
yes | head -3
column -t /etc/fstab >/dev/null
bc <<< '2^100'
dc -e '2 3 + p' 2>/dev/null
printf '%d %s %x\n' 1 a 255
test -f /etc/passwd
echo $?
basename /a/b.c .c
dirname /a/b
pathchk x
mktemp -u >/dev/null
sleep 0.01
true
false
echo $?
