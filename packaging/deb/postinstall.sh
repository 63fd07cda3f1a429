#!/bin/sh
# The service does not start by itself: it would begin with the settings of nobody.
set -e
if ! getent passwd ottla >/dev/null; then
  useradd --system --home-dir /var/lib/ottla --shell /usr/sbin/nologin --user-group ottla
fi
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  if systemctl is-active --quiet ottla; then
    systemctl restart ottla # the new version, with the same data
  fi
fi
