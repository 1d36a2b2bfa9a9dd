-- Deletes a channel's events and starts its positions over, and tells the other nodes.
--
-- KEYS  1  the channel's hash, as publish.lua has it
--       2  its stream
-- ARGV  1  an epoch drawn for this call
--       2  how long the hash outlives this, in ms
--       3  the channel on which nodes listen for this
--       4  what to tell them
--
-- Reply: {1, epoch} where the channel was known, else {0, ""}.
--
-- Why it is safe. It is one atomic step. It deletes before it writes, so a server that is out of memory lets it pass.
-- The new epoch has no past, so idempotency keys from before count no more.

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
