-- Returns the epoch and offset of a channel's hash, or nothing if they are damaged: the channel then starts over. Accepts
-- the epochs of `tidecast::Epoch`: 12 lower-case hex digits, neither all `0` nor all `f`. Offsets are Lua's numbers, exact
-- up to 2^53.
local function head(epoch, offset)
  offset = tonumber(offset)
  if epoch and #epoch == 12 and not string.find(epoch, '[^0-9a-f]')
    and epoch ~= '000000000000' and epoch ~= 'ffffffffffff'
    and offset and offset >= 0 and offset <= 2^53 and offset % 1 == 0 then
    return epoch, offset
  end
end
