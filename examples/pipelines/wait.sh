#!/bin/sh
# Wait for an approval, and say what happened to it. Usage: wait.sh INSTANCE_ID
set -u

kf wait "$1" --timeout "${TIMEOUT:-1h}" --expect current_state_data.Subject=CN=web.example.com
code=$?
case $code in
    0) echo "approved: going on" ;;
    75) echo "still pending: run this again later" ;;
    69) echo "no answer from Keyfactor: nobody knows, so do not file a second request" ;;
    10 | 11 | 12) echo "refused, failed or restarted: a new request is needed" ;;
    *) echo "not approved (exit code $code): see above" ;;
esac
exit "$code"
