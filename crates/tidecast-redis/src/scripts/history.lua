-- Reads what a node is missing of a channel: its head, and the events after a position, oldest first.
--
-- KEYS  1  the channel's hash, as publish.lua has it
--       2  its stream
-- ARGV  1  the offset after which events are wanted, or -1 for the newest
--       2  most events
--       3  most bytes of them, unless the first alone has more
--       4  how long a hash outlives its last event, in ms
--
-- Reply: {epoch, offset of the newest event, where earlier epochs ended, complete, epochs before the first event, server,
-- promoted, current, now, cut, id, event, id, event, …}, or {} where the channel has no hash and this user may not ask INFO.
-- `complete` is 1 where what follows ARGV 1 begins right here, or nothing follows it; `promoted` is 1 if the server was a
-- replica before, `current` if the epoch is of the server as it is now. `now` is the server's time in ms, or 0 if this user
-- may not ask TIME; `cut` is 1 if ARGV 2 or 3 may have left out events. An id is OFFSET-MS, with the time of publishing. A
-- channel without a hash has an epoch all the same, and offset 0.
--
-- Why it is safe. It writes nothing, so a server that is out of memory or can't save answers it, and so does one that
-- lets this user read only. Head and events are of one moment. At most 16 events are copied beyond what is answered.

local EVENTS_AT_ONCE = 16

@HEAD@
@SILENT@
local time = redis.pcall('TIME')
local now = time.err and '0' or string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local info = redis.pcall('INFO', 'replication')
info = type(info) == 'string' and info or ''
local server = string.match(info, 'master_replid:(%x+)') or ''
local promoted = string.find(info, 'master_replid2:0000000000000000', 1, true) and 0 or 1

local kept = redis.call('HMGET', KEYS[1], 'e', 'o', 'l', 'b', 'r')
local epoch, newest = head(kept[1], kept[2])
if not epoch then
  if server == '' then
    return {}
  end
  local idle_ms = tonumber(ARGV[4])
  local epochs = silent_epochs(server, times_emptied(), KEYS[1], idle_ms, eighth_of(redis.call('TIME'), idle_ms))
  return {table.remove(epochs, 1), 0, '', 1, table.concat(epochs, ','), server, promoted, 1, now, 0}
end

-- After another epoch nobody knows whether something was lost.
local origins = ''
local emptied, idle_ms, eighth = string.match(kept[4] or '', '^(%S*) (%d+) (%d+)$')
if emptied and server ~= '' and (kept[3] or '') == '' then
  origins = table.concat(silent_epochs(server, emptied, KEYS[1], tonumber(idle_ms), tonumber(eighth)), ',')
end

local known, limit, bytes_max = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local first, last = string.format('%.0f', known + 1), string.format('%.0f', newest)
local found, count, bytes, full = {}, 0, 0, false

-- The next few entries between the ends that are left. Beyond the newest event is nothing of ours.
local function some()
  local few = math.min(EVENTS_AT_ONCE, limit - count)
  if few <= 0 or full then
    return {}
  elseif known < 0 then
    return redis.call('XREVRANGE', KEYS[2], last, '-', 'COUNT', few)
  end
  return redis.call('XRANGE', KEYS[2], first, last, 'COUNT', few)
end

local entries = known < newest and some() or {}
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
    if known >= 0 then
      last = string.format('%.0f', newest)
    end
  end
  entries = some()
end

local complete = known < 0 or known == newest or (count > 0 and tonumber(string.match(found[1][1], '^%d+')) == known + 1)
local reply = {epoch, string.format('%.0f', newest), kept[3] or '', complete and 1 or 0, origins, server, promoted,
  kept[5] == server and 1 or 0, now, (full or count >= limit) and 1 or 0}
for at = 1, count do
  local entry = found[known < 0 and count + 1 - at or at]
  reply[#reply + 1] = entry[1]
  reply[#reply + 1] = entry[2]
end
return reply
