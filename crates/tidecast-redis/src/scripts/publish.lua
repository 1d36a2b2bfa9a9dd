-- Publishes one event: draws its position, keeps it, sends it to every node, and remembers its idempotency key.
--
-- KEYS  1  the channel's hash: e epoch, o offset of the newest event, r the server's lineage, l where earlier epochs
--          ended ("EPOCH.OFFSET,…", newest first), h when to look at ages again, m marks of age ("OFFSET.MS,…"),
--          b of what the epochs before the first event were made (see origin_epochs.lua), s which nodes saw an earlier server come back ("NODE.N,…")
--       2  the channel's stream
--       3  optional: where the answer to an idempotency key is kept
-- ARGV  1  an epoch drawn for this call, for when one is needed    7  most events in the stream; 0 keeps none
--       2  the event as JSON, to be kept                           8  how long they are kept, in ms
--       3  what is published in its place, or ""                   9  how long the hash outlives the last event, in ms
--       4  the first digit of its tail                            10  at most how often to look at ages, in ms
--       5  the channel that it is published on                    11  how long the answer is kept, in ms
--       6  PUBLISH or SPUBLISH                                    12  the answer, which the caller alone understands
--      13  the server that the caller saw last, or ""             14  those that it saw before
--      15  "NODE.N" if the caller saw an earlier server again, for the Nth time, or ""
--      16  the same for the next time, for when this is one of those before
--
-- Reply: {epoch, offset, 0, receivers of this server, answer, server}, or {epoch, offset, 1, 0, the first answer, server}
-- for a key that is known.
--
-- Why it is safe. The script is one atomic step, on the server and on its replicas. The lineage is read from the server
-- at every call: `master_replid` is drawn anew when a server starts and when one is promoted, so whatever an earlier
-- server acknowledged and this one never got can't share an epoch with what comes now. (It is drawn anew, too, when a
-- server without replicas drops its replication backlog: that costs a new epoch, never an event.) An address may also
-- lead to another server and back: then `master_replid` is what it was, but events were acknowledged elsewhere. A caller
-- that saw it says so, and each channel has a new epoch for that, once. What the server may
-- refuse, for want of memory, of a disk or of a primary, it refuses at the first write, and then nothing was written.
-- Offsets are Lua's numbers and exact up to 2^53; there a channel starts over.

local DIGITS = {@DIGITS@}
local EPOCHS_MAX = 8
local MARKS_MAX = 16
-- Some 90 nodes. With more, an old mark is forgotten, and its node's next publish begins an epoch once more.
local RETURNS_BYTES_MAX = 1024

local meta, events, once = KEYS[1], KEYS[2], KEYS[3]

-- What a command answered if it is a refusal. Before Redis 7 the script's line stands in front of what the server says.
local function refusal(answer)
  if type(answer) == 'table' and answer.err then
    return redis.error_reply(string.match(answer.err, '^@user_script: %d+: %-(.*)$') or answer.err)
  end
end

local info = redis.pcall('INFO', 'replication')
if type(info) ~= 'string' then
  return redis.error_reply('NOPERM publishing needs the command INFO: ' .. tostring(info.err))
end
local _, before_server = string.find(info, 'master_replid:', 1, true)
if not before_server then
  return redis.error_reply('ERR the section replication of INFO has no master_replid')
end
local server = string.sub(info, before_server + 1, before_server + 40)

@HEAD@
@SILENT@
local kept = redis.call('HMGET', meta, 'e', 'o', 'r', 'h', 's')
local epoch, offset = head(kept[1], kept[2])
local look_at = tonumber(kept[4]) or 0
local known = epoch ~= nil and offset < 2^53

local mark, returns = ARGV[15], kept[5] or ''
if ARGV[13] ~= '' and ARGV[13] ~= server and string.find(ARGV[14], server, 1, true) then
  mark = ARGV[16]
end
local returned = known and mark ~= '' and not string.find(',' .. returns .. ',', ',' .. mark .. ',', 1, true)

if once and known then
  local first_epoch, first_offset, answer = string.match(redis.call('GET', once) or '', '^(%x+)%.(%d+) (.*)$')
  if first_epoch then
    local earlier = redis.call('HGET', meta, 'l') or ''
    if first_epoch == epoch or string.find(earlier, first_epoch .. '.', 1, true) then
      return {first_epoch, tonumber(first_offset), 1, 0, answer, server}
    end
  end
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The first write. What is refused here is answered as the server says it.
local written
local before = known and offset or 0
local number = string.format('%.0f', before + 1)
if not known then
  epoch, look_at = ARGV[1], 0
  local idle_ms = tonumber(ARGV[9])
  local before_first = times_emptied() .. ' ' .. ARGV[9] .. ' ' .. string.format('%.0f', eighth_of(time, idle_ms))
  written = redis.pcall('HSET', meta, 'e', epoch, 'o', number, 'r', server, 'l', '', 'h', 0, 'm', '', 'b', before_first,
    's', mark)
elseif kept[3] ~= server or returned then
  local ended, count = epoch .. '.' .. string.format('%.0f', before), 1
  for earlier in string.gmatch(redis.call('HGET', meta, 'l') or '', '%x+%.%d+') do
    if count < EPOCHS_MAX then
      ended, count = ended .. ',' .. earlier, count + 1
    end
  end
  epoch = ARGV[1]
  if returned then
    -- The newest of each node.
    local node, others = string.match(mark, '^[^.]*'), returns
    returns = mark
    for other in string.gmatch(others, '[^,]+') do
      if string.match(other, '^[^.]*') ~= node and #returns + 1 + #other <= RETURNS_BYTES_MAX then
        returns = returns .. ',' .. other
      end
    end
  end
  written = redis.pcall('HSET', meta, 'e', epoch, 'o', number, 'r', server, 'l', ended, 's', returns)
else
  written = redis.pcall('HSET', meta, 'o', number)
end
if refusal(written) then
  return refusal(written)
end
offset = before + 1

local most = tonumber(ARGV[7])
if most == 0 or not known then
  -- A stream without the hash is another life's; one that leaves out events would be read as if it had all.
  redis.call('DEL', events)
end
if most > 0 then
  local id = number .. '-' .. string.format('%.0f', now)
  local function add()
    return redis.pcall('XADD', events, 'MAXLEN', '~', ARGV[7], id, 'p', ARGV[2])
  end
  local added = add()
  local why = refusal(added) and added.err or ''
  if string.find(why, 'smaller', 1, true) or string.find(why, 'exhausted', 1, true)
    or string.find(why, 'WRONGTYPE', 1, true) then
    -- A greater id is in the stream, or it is none: damaged by hand, or restored from elsewhere. Its events are no past
    -- of this channel, so they go, and so does every position up to here.
    redis.call('DEL', events)
    epoch, look_at = ARGV[1], 0
    redis.call('HSET', meta, 'e', epoch, 'l', '', 'm', '', 'b', '')
    added = add()
  end
  if refusal(added) then
    return refusal(added)
  end
end

-- Ages are looked at now and then, not at every event, and without reading one: a mark says which offset was drawn
-- when, and everything before a mark is at least as old as it is. A clock that was put back is noticed too. While no
-- stream is kept the time stands there as a negative number, so that whoever begins one looks at once and gives it an
-- end.
if most == 0 then
  look_at = -look_at
end
if now >= look_at or look_at - now > tonumber(ARGV[9]) then
  local history_ms, every_ms = tonumber(ARGV[8]), tonumber(ARGV[10])
  local marks, count, too_old = {}, 0, nil
  for mark_offset, mark_ms in string.gmatch(redis.call('HGET', meta, 'm') or '', '(%d+)%.(%d+)') do
    local age = now - tonumber(mark_ms)
    if age >= history_ms then
      too_old = mark_offset
    elseif age >= 0 and count < MARKS_MAX then
      count = count + 1
      marks[count] = mark_offset .. '.' .. mark_ms
    end
  end
  if count < MARKS_MAX then
    marks[count + 1] = number .. '.' .. string.format('%.0f', now)
  end
  local next_look = string.format(most == 0 and '-%.0f' or '%.0f', now + every_ms)
  redis.call('HSET', meta, 'h', next_look, 'm', table.concat(marks, ','))
  redis.call('PEXPIRE', meta, string.format('%.0f', tonumber(ARGV[9]) + every_ms))
  if most > 0 then
    if too_old then
      redis.call('XTRIM', events, 'MINID', too_old)
    end
    redis.call('PEXPIRE', events, string.format('%.0f', history_ms + every_ms))
  end
end

local digits = string.gsub(epoch .. string.format('%014x', offset), '.', DIGITS)
local published = ARGV[3] ~= '' and ARGV[3] or ARGV[2]
local receivers = redis.call(ARGV[6], ARGV[5], published .. ARGV[4] .. digits)
if once then
  redis.call('SET', once, epoch .. '.' .. number .. ' ' .. ARGV[12], 'PX', ARGV[11])
end
return {epoch, offset, 0, receivers, ARGV[12], server}
