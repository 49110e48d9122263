# SPDX-License-Identifier: Apache-2.0
touch f; chmod 4755 f; ls -l f | cut -c1-10; chmod u=rw,go= f; ls -l f | cut -c1-10; chown 1:2 f; stat -c '%u:%g %U:%G' f; chgrp nogroup f; chmod +t .; stat -c %A .; umask 027; touch g; mkdir h; stat -c '%a %n' g h; chmod 000 f; cat f >/dev/null; echo $?; chmod 644 nofile; chmod -R a+rX .; stat -c '%a %n' *
