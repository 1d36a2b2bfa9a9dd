-- Looks in a part of a channel's history for events with an id of their publisher's. Answers where they are, not what
-- they are.
--
-- KEYS  1  the channel's hash, as publish.lua has it
--       2  its stream
-- ARGV  1  the last offset to look at; older ones follow
--       2  the id as the JSON of an event has it: `,"id":"…"`
--       3  most events to look at
--       4  most bytes of them, as they are stored; one event is always looked at
--
-- Reply: {epoch, oldest offset that was found or 0, how many were found, how many were looked at, their bytes, the offset
-- before all that was looked at, 1 if nothing older is left}, or {} if the channel has no hash.
--
-- Why it is safe. It writes nothing. Its bounds are small, as it keeps the server from all else: the caller goes on in
-- another call. An event's JSON ends with its id, or with its id and `retry`, and quotes in data and type are escaped,
-- so neither can be taken for an id.

local EVENTS_AT_ONCE = 16

@HEAD@
local kept = redis.call('HMGET', KEYS[1], 'e', 'o')
local epoch, newest = head(kept[1], kept[2])
if not epoch then
  return {}
end

local needle, limit, bytes_max = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local function has_id(payload)
  local rest = string.match(string.sub(payload, -32), ',"retry":%d+}$') or '}'
  local last = #payload - #rest
  return string.sub(payload, last - #needle + 1, last) == needle
end

-- Beyond the newest event is nothing of ours.
local next_id = string.format('%.0f', math.min(newest, tonumber(ARGV[1])))
local oldest, found, count, bytes, before, ended = 0, 0, 0, 0, 0, 0
while ended == 0 and count < limit and bytes < bytes_max do
  -- As many as are expected to fit.
  local few = bytes == 0 and 1 or math.floor((bytes_max - bytes) * count / bytes)
  few = math.max(1, math.min(few, EVENTS_AT_ONCE, limit - count))
  local entries = redis.call('XREVRANGE', KEYS[2], next_id, '-', 'COUNT', few)
  for _, entry in ipairs(entries) do
    local offset, payload = tonumber(string.match(entry[1], '^%d+')), entry[2][2]
    count, bytes = count + 1, bytes + #payload
    before, next_id = offset - 1, '(' .. entry[1]
    if has_id(payload) then
      oldest, found = offset, found + 1
    end
  end
  if #entries < few then
    ended = 1
  end
end
return {epoch, string.format('%.0f', oldest), found, count, bytes, string.format('%.0f', before), ended}
