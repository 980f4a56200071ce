# Wait for an approval, and say what happened to it. Usage: wait.ps1 INSTANCE_ID
param([Parameter(Mandatory)][string] $InstanceId)

kf wait $InstanceId --timeout 1h --expect "current_state_data.Subject=CN=web.example.com"
switch ($LASTEXITCODE) {
    0 { "approved: going on" }
    75 { "still pending: run this again later" }
    69 { "no answer from Keyfactor: nobody knows, so do not file a second request" }
    default { "not approved (exit code $LASTEXITCODE): see above" }
}
exit $LASTEXITCODE
