# SPDX-License-Identifier: Apache-2.0
python3 - <<'X'
import importlib, sys, pkgutil
skip = {'antigravity', 'this', 'idlelib', 'turtle', 'turtledemo', 'tkinter', 'test', 'lib2to3', '__main__','msilib','winreg','winsound','nt','msvcrt', '_winapi', 'ensurepip','distutils'}
bad = []
n = 0
for name in sorted(sys.stdlib_module_names):
    if name in skip or name.startswith('_'): continue
    try: importlib.import_module(name); n += 1
    except Exception as e: bad.append((name, str(e)[:80]))
print(n, bad)
X
