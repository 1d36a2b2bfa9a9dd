-- Searches a part of a channel's history for events with an id of their publisher, and returns their positions.
--
-- KEYS  1  the channel's hash, see publish.lua
--       2  its stream
-- ARGV  1  the offset at which the search begins; it proceeds to older events
--       2  the id as in the JSON of an event: `,"id":"…"`
--       3  maximum of events to read
--       4  maximum of bytes to read, as they are stored; one event is always read
--
-- Reply: {epoch, oldest offset found or 0, number found, number read, bytes read, the offset before all that was read, 1 if
-- nothing older is left}, or {} if the channel has no hash.
--
-- Safety. It writes nothing. Its bounds are small, because the server does nothing else meanwhile; the caller continues
-- with another call. An event's JSON ends with its id, or with its id and `retry`, and quotes in data and type are escaped,
-- so neither can be taken for an id.

local EVENTS_PER_READ = 16

@HEAD@
local hash = redis.call('HMGET', KEYS[1], 'e', 'o')
local epoch, newest = head(hash[1], hash[2])
if not epoch then
  return {}
end

local needle, limit, bytes_max = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])

local function has_id(payload)
  local rest = string.match(string.sub(payload, -32), ',"retry":%d+}$') or '}'
  local last = #payload - #rest
  return string.sub(payload, last - #needle + 1, last) == needle
end

-- Entries beyond the newest event are not Tidecast's.
local next_id = string.format('%.0f', math.min(newest, tonumber(ARGV[1])))
local oldest, found, count, bytes, before, ended = 0, 0, 0, 0, 0, 0
while ended == 0 and count < limit and bytes < bytes_max do
  -- As many as are expected to fit.
  local few = bytes == 0 and 1 or math.floor((bytes_max - bytes) * count / bytes)
  few = math.max(1, math.min(few, EVENTS_PER_READ, limit - count))
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
