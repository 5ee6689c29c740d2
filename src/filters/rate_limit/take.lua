-- Lets one request through all limits, or through none of them: the arithmetic of gcra.rs, by the server's clock.
-- KEYS: one for each limit. ARGV: for each limit the microseconds from one request to the next, those of the whole
-- burst, and whether it only counts (1) or refuses (0). Gives for each limit whether it admits (1 or 0), and the
-- microseconds that its bucket owes afterwards.
local time = redis.call('TIME')
-- Since 2026, so that a double still has fractions of a microsecond.
local now = (tonumber(time[1]) - 1767225600) * 1000000 + tonumber(time[2])
local owed, admits, passes = {}, {}, true
for i, key in ipairs(KEYS) do
  local interval, most = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1])
  local full_at, was = string.match(redis.call('GET', key) or '', '^(%S+) (%S+)$')
  owed[i] = 0
  if full_at then
    -- What was written down at another rate keeps the number of requests that it stands for.
    owed[i] = math.min(math.max(tonumber(full_at) - now, 0) * interval / tonumber(was), most)
  end
  -- Half a microsecond is less than the server's clock tells, and more than rounding errs by.
  admits[i] = owed[i] + interval <= most + 0.5
  passes = passes and (admits[i] or ARGV[3 * i] == '1')
end
local said = {}
for i, key in ipairs(KEYS) do
  if passes and admits[i] then
    local interval = tonumber(ARGV[3 * i - 2])
    owed[i] = owed[i] + interval
    local value = string.format('%.3f %.3f', now + owed[i], interval)
    redis.call('SET', key, value, 'PX', math.ceil(owed[i] / 1000))
  end
  said[2 * i - 1] = admits[i] and 1 or 0
  said[2 * i] = math.ceil(owed[i])
end
return said
