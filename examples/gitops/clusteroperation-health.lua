-- Health of a ClusterOperation for Argo CD. One that was refused or failed stays so: it is done once.
local phase = obj.status ~= nil and obj.status.phase or "Pending"
local message = obj.status ~= nil and obj.status.message or "The operator has not looked at it yet"
local health = { Done = "Healthy", Refused = "Degraded", Failed = "Degraded" }
return { status = health[phase] or "Progressing", message = message }
