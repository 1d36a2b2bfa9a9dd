-- Returns the epochs that a channel without a hash has had of late, newest first. Reading writes nothing, so they are
-- made of what the server is, of how often it was emptied, and of the time: whatever an id in one of them may have
-- missed changes it. A hash lives for `idle_ms` at least, and an epoch of these for an eighth of that: no hash has come
-- and gone unseen since one of the eight was the newest.
local function silent_epochs(server, emptied, key, idle_ms, eighth)
  local epochs = {}
  for age = 0, 7 do
    local seed = {server, emptied, key, string.format('%.0f', idle_ms), string.format('%.0f', eighth - age)}
    -- The first digit keeps clear of what is no epoch.
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

-- Returns which eighth of `idle_ms` it is.
local function eighth_of(time, idle_ms)
  return math.floor((time[1] * 1000 + math.floor(time[2] / 1000)) / math.max(1, idle_ms / 8))
end
