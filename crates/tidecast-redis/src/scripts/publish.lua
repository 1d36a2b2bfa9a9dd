-- Publishes an event: draws its position, stores it, sends it to every node, and keeps its receipt.
--
-- KEYS  1  the channel's hash:
--            e  epoch
--            o  offset of the newest event
--            r  replication id of the server that drew the epoch
--            l  ends of earlier epochs, "EPOCH.OFFSET,…", newest first
--            h  time of the next age check, in ms
--            m  age marks, "OFFSET.MS,…"
--            b  inputs of the epochs before the first event, see origin_epochs.lua
--            s  return marks of nodes that saw an earlier server return, "NODE.N,…"
--       2  the channel's stream
--       3  optional: the key that keeps the receipt
-- ARGV  1  a new epoch, for when one is needed                   7  maximum of events in the stream; 0 stores none
--       2  the event as JSON, to be stored                       8  how long they are retained, in ms
--       3  the JSON to publish instead, or ""                    9  how long the hash outlives the last event, in ms
--       4  the first digit of the trailer                       10  shortest interval between age checks, in ms
--       5  the pub/sub channel                                  11  how long the receipt is kept, in ms
--       6  PUBLISH or SPUBLISH                                  12  the receipt, which only the caller interprets
--      13  the replication id that the caller saw last, or ""   14  those that it saw before
--      15  "NODE.N" if the caller saw an earlier server return for the Nth time, or ""
--      16  the next such mark, for when this server is one of those before
--
-- Reply: {epoch, offset, 0, receivers of this server, receipt, replication id}, or for a known idempotency key {epoch,
-- offset, 1, 0, the first receipt, replication id}.
--
-- Safety. The script is one atomic step, on the server and on its replicas. It reads `master_replid` from the server at
-- every call. A server draws that again when it starts and when it is promoted, so an event that an earlier server
-- acknowledged and this one never received cannot share an epoch with a new one. (A server without replicas that drops its
-- replication backlog draws it too, which costs a new epoch and never an event.) An address may lead to another server and
-- back. The `master_replid` is then unchanged, although the other server acknowledged events. A caller that saw it says so,
-- and each channel gets a new epoch for it, once. If the server rejects writes, for want of memory, disk or replicas, it
-- rejects the first one, and nothing was written. Offsets are Lua's numbers, exact up to 2^53, where a channel starts over.

local DIGITS = {@DIGITS@}
local EPOCHS_MAX = 8
local MARKS_MAX = 16
-- About 90 nodes. With more, an old mark is dropped, and its node's next publish begins one more epoch.
local RETURNS_BYTES_MAX = 1024

local meta, events, receipt_key = KEYS[1], KEYS[2], KEYS[3]

-- Returns the error in a command's reply. Before Redis 7 the script's line precedes the server's text.
local function error_of(reply)
  if type(reply) == 'table' and reply.err then
    return redis.error_reply(string.match(reply.err, '^@user_script: %d+: %-(.*)$') or reply.err)
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
@ORIGIN_EPOCHS@
local hash = redis.call('HMGET', meta, 'e', 'o', 'r', 'h', 's')
local epoch, offset = head(hash[1], hash[2])
local next_check = tonumber(hash[4]) or 0
local known = epoch ~= nil and offset < 2^53

local mark, returns = ARGV[15], hash[5] or ''
if ARGV[13] ~= '' and ARGV[13] ~= server and string.find(ARGV[14], server, 1, true) then
  mark = ARGV[16]
end
local returned = known and mark ~= '' and not string.find(',' .. returns .. ',', ',' .. mark .. ',', 1, true)

if receipt_key and known then
  local first_epoch, first_offset, receipt = string.match(redis.call('GET', receipt_key) or '', '^(%x+)%.(%d+) (.*)$')
  if first_epoch then
    local earlier = redis.call('HGET', meta, 'l') or ''
    if first_epoch == epoch or string.find(earlier, first_epoch .. '.', 1, true) then
      return {first_epoch, tonumber(first_offset), 1, 0, receipt, server}
    end
  end
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- The first write. Its error is passed on.
local written
local before = known and offset or 0
local number = string.format('%.0f', before + 1)
if not known then
  epoch, next_check = ARGV[1], 0
  local idle_ms = tonumber(ARGV[9])
  local origin = times_emptied() .. ' ' .. ARGV[9] .. ' ' .. string.format('%.0f', eighth_of(time, idle_ms))
  written = redis.pcall('HSET', meta, 'e', epoch, 'o', number, 'r', server, 'l', '', 'h', 0, 'm', '', 'b', origin,
    's', mark)
elseif hash[3] ~= server or returned then
  local ended, count = epoch .. '.' .. string.format('%.0f', before), 1
  for earlier in string.gmatch(redis.call('HGET', meta, 'l') or '', '%x+%.%d+') do
    if count < EPOCHS_MAX then
      ended, count = ended .. ',' .. earlier, count + 1
    end
  end
  epoch = ARGV[1]
  if returned then
    -- Keep the newest mark of each node.
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
if error_of(written) then
  return error_of(written)
end
offset = before + 1

local events_max = tonumber(ARGV[7])
if events_max == 0 or not known then
  -- A stream without a hash is of an earlier generation, and one that lacks events would be read as complete.
  redis.call('DEL', events)
end
if events_max > 0 then
  local id = number .. '-' .. string.format('%.0f', now)
  local function add()
    return redis.pcall('XADD', events, 'MAXLEN', '~', ARGV[7], id, 'p', ARGV[2])
  end
  local added = add()
  local reason = error_of(added) and added.err or ''
  if string.find(reason, 'smaller', 1, true) or string.find(reason, 'exhausted', 1, true)
    or string.find(reason, 'WRONGTYPE', 1, true) then
    -- The key has a greater id or is not a stream: it was damaged by hand, or restored from elsewhere. Its events are not
    -- this channel's past, so they are deleted, and earlier positions become unknown.
    redis.call('DEL', events)
    epoch, next_check = ARGV[1], 0
    redis.call('HSET', meta, 'e', epoch, 'l', '', 'm', '', 'b', '')
    added = add()
  end
  if error_of(added) then
    return error_of(added)
  end
end

-- Ages are checked now and then, without reading an event: a mark has an offset and the time at which it was drawn, and
-- everything before it is at least as old. A clock that was set back is detected too. While no stream is kept, the time of
-- the next check is negative, so that the first publish with a stream checks at once and sets its expiry.
if events_max == 0 then
  next_check = -next_check
end
if now >= next_check or next_check - now > tonumber(ARGV[9]) then
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
  local check = string.format(events_max == 0 and '-%.0f' or '%.0f', now + every_ms)
  redis.call('HSET', meta, 'h', check, 'm', table.concat(marks, ','))
  redis.call('PEXPIRE', meta, string.format('%.0f', tonumber(ARGV[9]) + every_ms))
  if events_max > 0 then
    if too_old then
      redis.call('XTRIM', events, 'MINID', too_old)
    end
    redis.call('PEXPIRE', events, string.format('%.0f', history_ms + every_ms))
  end
end

local digits = string.gsub(epoch .. string.format('%014x', offset), '.', DIGITS)
local published = ARGV[3] ~= '' and ARGV[3] or ARGV[2]
local receivers = redis.call(ARGV[6], ARGV[5], published .. ARGV[4] .. digits)
if receipt_key then
  redis.call('SET', receipt_key, epoch .. '.' .. number .. ' ' .. ARGV[12], 'PX', ARGV[11])
end
return {epoch, offset, 0, receivers, ARGV[12], server}
