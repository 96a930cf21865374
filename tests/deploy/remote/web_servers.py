"""What a web server needs around the site that we print."""

from __future__ import annotations

AROUND = {
    "nginx": "pid {folder}/pid; events {{}} http {{ {text} }}",
    "caddy": "{text}",
    "apache": (
        "ServerName localhost\nServerRoot /etc/apache2\nPidFile {folder}/pid\nErrorLog {folder}/log\n"
        "Mutex posixsem\n{modules}\n{text}"
    ),
}
MODULES = ("mpm_event", "authz_core", "alias", "headers", "proxy", "proxy_http", "socache_shmcb", "ssl")
