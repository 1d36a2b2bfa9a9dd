-- Reads a page of a channel's history and the channel's state. Events are returned oldest first.
--
-- KEYS  1  the channel's hash, see publish.lua
--       2  its stream
-- ARGV  1  the offset after which events are read, or -1 for the newest
--       2  maximum of events
--       3  maximum of bytes, unless the first event alone exceeds it
--       4  how long a hash outlives its last event, in ms
--
-- Reply: {epoch, offset of the newest event, ends of earlier epochs, complete, epochs before the first event, replication
-- id, promoted, current, now, cut, id, event, id, event, …}, or {} if the channel has no hash and this user may not run
-- INFO. A channel without a hash has an epoch too, and offset 0.
--   complete  1 if the page begins right after ARGV 1, or nothing follows that
--   promoted  1 if the server was a replica before
--   current   1 if the epoch was drawn by the server as it runs now
--   now       the server's time in ms, or 0 if this user may not run TIME
--   cut       1 if ARGV 2 or 3 may have left out events
--   id        OFFSET-MS, with the time of publishing
--
-- Safety. It writes nothing, so it works on a server that is out of memory or cannot save, and for a user that may only
-- read. Head and events are of one moment. It copies up to 16 events more than it returns.

local EVENTS_PER_READ = 16

@HEAD@
@ORIGIN_EPOCHS@
local time = redis.pcall('TIME')
local now = time.err and '0' or string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local info = redis.pcall('INFO', 'replication')
info = type(info) == 'string' and info or ''
local server = string.match(info, 'master_replid:(%x+)') or ''
local promoted = string.find(info, 'master_replid2:0000000000000000', 1, true) and 0 or 1

local hash = redis.call('HMGET', KEYS[1], 'e', 'o', 'l', 'b', 'r')
local epoch, newest = head(hash[1], hash[2])
if not epoch then
  if server == '' then
    return {}
  end
  local idle_ms = tonumber(ARGV[4])
  local epochs = origin_epochs(server, times_emptied(), KEYS[1], idle_ms, eighth_of(redis.call('TIME'), idle_ms))
  return {table.remove(epochs, 1), 0, '', 1, table.concat(epochs, ','), server, promoted, 1, now, 0}
end

-- Once the channel has an earlier epoch, events may have been lost since its origins.
local origins = ''
local emptied, idle_ms, eighth = string.match(hash[4] or '', '^(%S*) (%d+) (%d+)$')
if emptied and server ~= '' and (hash[3] or '') == '' then
  origins = table.concat(origin_epochs(server, emptied, KEYS[1], tonumber(idle_ms), tonumber(eighth)), ',')
end

local after, limit, bytes_max = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local first, last = string.format('%.0f', after + 1), string.format('%.0f', newest)
local found, count, bytes, full = {}, 0, 0, false

-- Returns the next few entries of the remaining range. Entries beyond the newest event are not Tidecast's.
local function next_entries()
  local few = math.min(EVENTS_PER_READ, limit - count)
  if few <= 0 or full then
    return {}
  elseif after < 0 then
    return redis.call('XREVRANGE', KEYS[2], last, '-', 'COUNT', few)
  end
  return redis.call('XRANGE', KEYS[2], first, last, 'COUNT', few)
end

local entries = after < newest and next_entries() or {}
while #entries > 0 do
  for _, entry in ipairs(entries) do
    local payload = entry[2][2]
    if count > 0 and bytes + #payload > bytes_max then
      full = true
      break
    end
    count, bytes = count + 1, bytes + #payload
    found[count] = {entry[1], payload}
    first, last = '(' .. entry[1], '(' .. entry[1]
    if after >= 0 then
      last = string.format('%.0f', newest)
    end
  end
  entries = next_entries()
end

local complete = after < 0 or after == newest or (count > 0 and tonumber(string.match(found[1][1], '^%d+')) == after + 1)
local reply = {epoch, string.format('%.0f', newest), hash[3] or '', complete and 1 or 0, origins, server, promoted,
  hash[5] == server and 1 or 0, now, (full or count >= limit) and 1 or 0}
for at = 1, count do
  local entry = found[after < 0 and count + 1 - at or at]
  reply[#reply + 1] = entry[1]
  reply[#reply + 1] = entry[2]
end
return reply
