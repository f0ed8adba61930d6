-- Takes the cost of one call from several buckets, or nothing from any. The arithmetic is that of domain/limit/tally.rs.
--
-- A bucket is kept as "CALLS SECONDS WHOLE PART": so many calls in so long, and when everything has come back, in
-- microseconds and in parts of which CALLS make one. Lua counts in doubles, which are exact below 2^53: no number here
-- reaches that (microseconds do in the year 2255).
--
-- ARGV: the time in microseconds, or 0 for this server's; 1 to take, 0 to look; and six for each of KEYS: CALLS, SECONDS,
-- what the call costs (microseconds, parts), and what is owed at the least (microseconds, parts).
-- Answers three for each of KEYS: what is owed then (microseconds, parts), and how long the call has to wait; 0 if it has not.

local BASE = 1048576

-- Numbers that no double holds, as digits to BASE, the lowest first: digits * by + more. `by` is below 2^32.
local function times(digits, by, more)
  local product, carry = {}, more
  for i = 1, #digits do
    local sum = digits[i] * by + carry
    product[i] = sum % BASE
    carry = (sum - product[i]) / BASE
  end
  while carry > 0 do
    local digit = carry % BASE
    product[#product + 1] = digit
    carry = (carry - digit) / BASE
  end
  return product
end

-- The quotient, as digits, and the rest.
local function divided(digits, by)
  local quotient, rest = {}, 0
  for i = #digits, 1, -1 do
    local part = rest * BASE + digits[i]
    rest = part % by
    quotient[i] = (part - rest) / by
  end
  return quotient, rest
end

local function value(digits)
  local sum = 0
  for i = #digits, 1, -1 do
    sum = sum * BASE + digits[i]
  end
  return sum
end

-- What is owed under other terms: as many calls as under the old ones, rounded up, as far as the new ones know so many.
local function adopted(micros, part, old_calls, old_seconds, calls, seconds)
  local spent = times(times(times({}, 1, micros), old_calls, part), seconds, old_seconds - 1)
  local digits, rest = divided(divided(spent, old_seconds), calls)
  local whole = value(digits)
  if whole >= seconds * 1000000 then
    return seconds * 1000000, 0
  end
  return whole, rest
end

local now = tonumber(ARGV[1])
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local takes = ARGV[2] == '1'

local buckets = {}
for i = 1, #KEYS do
  local given = {}
  for place = 1, 6 do
    given[place] = tonumber(ARGV[6 * i - 4 + place])
  end
  local calls, seconds = given[1], given[2]
  local micros, part, changed = 0, 0, false
  local held = redis.call('GET', KEYS[i])
  if held then
    local old_calls, old_seconds, whole, rest = string.match(held, '^(%d+) (%d+) (%d+) (%d+)$')
    old_calls, old_seconds, whole = tonumber(old_calls), tonumber(old_seconds), tonumber(whole)
    if whole >= now then
      micros, part = whole - now, tonumber(rest)
    end
    if micros >= old_seconds * 1000000 then
      micros, part = old_seconds * 1000000, 0
    end
    if old_calls ~= calls or old_seconds ~= seconds then
      micros, part = adopted(micros, part, old_calls, old_seconds, calls, seconds)
      changed = true
    end
  end
  if given[5] > micros or (given[5] == micros and given[6] > part) then
    micros, part, changed = given[5], given[6], true
  end
  local then_micros, then_part = micros + given[3], part + given[4]
  if then_part >= calls then
    then_micros, then_part = then_micros + 1, then_part - calls
  end
  local wait = then_micros - seconds * 1000000
  if then_part > 0 then
    wait = wait + 1
  end
  if wait > 0 then
    takes = false
  else
    wait = 0
  end
  buckets[i] = {
    calls = calls, seconds = seconds, micros = micros, part = part, changed = changed,
    then_micros = then_micros, then_part = then_part, wait = wait,
  }
end

local answer = {}
for i, bucket in ipairs(buckets) do
  local micros, part = bucket.micros, bucket.part
  if takes then
    micros, part = bucket.then_micros, bucket.then_part
  end
  if takes or bucket.changed then
    -- A minute longer than it takes until everything has come back: then it is as good as no bucket.
    local text = string.format('%.0f %.0f %.0f %.0f', bucket.calls, bucket.seconds, now + micros, part)
    redis.call('SET', KEYS[i], text, 'PX', string.format('%.0f', math.ceil(micros / 1000) + 60000))
  end
  answer[3 * i - 2], answer[3 * i - 1], answer[3 * i] = micros, part, bucket.wait
end
return answer
