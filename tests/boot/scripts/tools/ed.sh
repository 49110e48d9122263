# SPDX-License-Identifier: Apache-2.0
printf 'a\nline1\nline2\n.\n1s/line/LINE/\nw f\nq\n' | ed -s; cat f; printf '%%s/LINE/x/g\nwq\n' | ed -s f; cat f; echo ':%s/x/y/|wq' | vim -es -u NONE f; cat f; ex -s f <<< $'1d\nx' ; cat f; printf 'hello' | less -FX; which nano >/dev/null && echo nano
