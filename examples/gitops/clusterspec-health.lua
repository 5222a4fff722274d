-- Health of a ClusterSpec for Argo CD, by the conditions alone.
local function verdict(status, message)
  return { status = status, message = message }
end

local status = obj.status
if status == nil or status.conditions == nil then
  return verdict("Progressing", "The operator has not looked at it yet")
end
local found = {}
for _, condition in ipairs(status.conditions) do
  found[condition.type] = condition
end
local function isTrue(kind)
  return found[kind] ~= nil and found[kind].status == "True"
end
local ready = found.Ready
if isTrue("Stalled") then
  return verdict("Degraded", found.Stalled.message)
end
if status.observedGeneration == nil or status.observedGeneration ~= obj.metadata.generation then
  return verdict("Progressing", "The operator has not taken in the last change yet")
end
if ready ~= nil and ready.reason == "Stopped" then
  return verdict("Suspended", ready.message)
end
if obj.spec.paused == true then
  return verdict("Suspended", "spec.paused is true")
end
-- One that never served is only on its way.
local isDown = found.Available ~= nil and found.Available.status == "False"
if isDown and status.initialized == true then
  return verdict("Degraded", found.Available.message)
end
if isTrue("Reconciling") then
  return verdict("Progressing", found.Reconciling.message)
end
if isTrue("Degraded") then
  return verdict("Degraded", found.Degraded.message)
end
if ready ~= nil and ready.status == "True" then
  return verdict("Healthy", ready.message)
end
return verdict("Progressing", ready ~= nil and ready.message or "Not ready yet")
