#!/bin/sh
# Wait, plan, and update by that plan alone: what people see in the preview is what is done. Usage: plan.sh INSTANCE_ID
# The stack is the one that `pulumi stack select` has chosen in this folder.
set -eu

kf wait "$1" --timeout "${TIMEOUT:-1h}" --expect current_state_data.Subject=CN=web.example.com
pulumi config set instanceId "$1"
pulumi preview --save-plan plan.json
pulumi up --yes --plan plan.json
