#!/bin/sh
# Data in /var/lib/ottla stays. "upgrade" and 1 say that another version follows.
set -e
case "$1" in
upgrade | 1) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
  systemctl disable --now ottla || true
fi
