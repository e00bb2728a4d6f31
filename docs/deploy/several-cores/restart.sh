#!/bin/sh
# Restarts gateways of this machine one after another (docs/several-cores.md): restart.sh 1 2 3 4
# The next one is stopped when the one before is ready, and HAProxy has seen it.
set -eu
for gateway in "$@"; do
  systemctl restart "castellan@$gateway"
  until curl -fsS -o /dev/null "http://127.0.0.1:80${gateway}1/ready"; do sleep 0.5; done
  sleep 3
done
