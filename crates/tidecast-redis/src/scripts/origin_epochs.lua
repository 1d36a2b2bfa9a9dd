-- Returns the recent epochs of a channel without a hash, newest first. Reading writes nothing, so they are derived from the
-- server's identity, the number of times it was emptied, and the time: everything that may lose an event changes them. A
-- hash lives for at least `idle_ms` and such an epoch for an eighth of that, so no hash has come and gone since one of
-- these eight was the newest.
local function origin_epochs(server, emptied, key, idle_ms, eighth)
  local epochs = {}
  for age = 0, 7 do
    local seed = {server, emptied, key, string.format('%.0f', idle_ms), string.format('%.0f', eighth - age)}
    -- The first digit makes it differ from invalid epochs.
    epochs[age + 1] = '1' .. string.sub(redis.sha1hex(table.concat(seed, ' ')), 1, 11)
  end
  return epochs
end

-- Returns how often the server was emptied, or '' if this user may not know.
local function times_emptied()
  local stats = redis.pcall('INFO', 'commandstats')
  if type(stats) ~= 'string' then
    return ''
  end
  local counts = {}
  for at, name in ipairs({'flushall', 'flushdb', 'swapdb'}) do
    counts[at] = string.match(stats, 'cmdstat_' .. name .. ':calls=(%d+)') or '0'
  end
  return table.concat(counts, '.')
end

-- Returns the number of the current eighth of `idle_ms`.
local function eighth_of(time, idle_ms)
  return math.floor((time[1] * 1000 + math.floor(time[2] / 1000)) / math.max(1, idle_ms / 8))
end
