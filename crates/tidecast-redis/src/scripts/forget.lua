-- Deletes a channel's events, starts its positions over, and tells the other nodes.
--
-- KEYS  1  the channel's hash, see publish.lua
--       2  its stream
-- ARGV  1  a new epoch
--       2  how long the hash outlives the deletion, in ms
--       3  the control channel
--       4  the payload for it
--
-- Reply: {1, epoch} if the channel was known, else {0, ""}.
--
-- Safety. It is one atomic step. It deletes before it writes, so a server that is out of memory allows it. The new epoch
-- has no earlier ones, so receipts from before are ignored.

local known = redis.call('HEXISTS', KEYS[1], 'e')
local deleted = redis.pcall('DEL', KEYS[1], KEYS[2])
if type(deleted) == 'table' then
  return deleted
end
if known == 0 then
  return {0, ''}
end
local server = string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)')
redis.call('HSET', KEYS[1], 'e', ARGV[1], 'o', 0, 'r', server or '', 'l', '')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('PUBLISH', ARGV[3], ARGV[4])
return {1, ARGV[1]}
