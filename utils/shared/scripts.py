"""What happens to a job in the store, each in one step that nobody can come between.

A job is one hash. `begun` is the number of the last try whose call was begun, set just before the
call; `over` the number of the last one that has ended. When it was `asked` for, and when its worker
was last `alive`, is by the store's own clock. All other times are those of who tells, in seconds
since 1970.
"""

# In seconds: longer than a result is kept, so that no call is begun for a second time.
KEEP_SECONDS = 48 * 3600

_LIBRARY = """
local job, bell, line = KEYS[1], KEYS[2], KEYS[3]
local function get(field) return redis.call('HGET', job, field) end
local function number(field) return tonumber(get(field) or 0) end
local function clock()
  local now = redis.call('TIME')
  return tonumber(now[1]) + tonumber(now[2]) / 1000000
end
local function ring() redis.call('PUBLISH', bell, '') end
local function set_all(from)
  for i = from, #ARGV, 2 do redis.call('HSET', job, ARGV[i], ARGV[i + 1]) end
  ring()
end
local function finish(id, now, outcome, kind, lost)
  redis.call('HSET', job, 'phase', 'ended', 'since', now, 'outcome', outcome, 'ended_by', kind,
    'lost', lost)
  redis.call('HDEL', job, 'partial', 'order')
  redis.call('ZREM', line, id)
  ring()
end
"""

# ARGV: id, now, seconds to keep, then fields and values. Returns whether it is new.
CREATE = (
    _LIBRARY
    + """
if redis.call('EXISTS', job) == 1 then return 0 end
redis.call('ZADD', line, ARGV[2], ARGV[1])
redis.call('EXPIRE', line, ARGV[3])
redis.call('HSET', job, 'asked', clock())
set_all(4)
redis.call('EXPIRE', job, ARGV[3])
return 1
"""
)

# ARGV: id, now, the try's number, who begins it, seconds of the lease, the outcome of what was
# interrupted. Returns "go", or why not.
BEGIN = (
    _LIBRARY
    + """
local now, try = tonumber(ARGV[2]), tonumber(ARGV[3])
if redis.call('EXISTS', job) == 0 then return 'gone' end
if get('outcome') then return 'ended' end
if number('over') >= try then return 'over' end
if number('begun') >= try then
  if get('by') == ARGV[4] then return 'go' end
  if number('alive') > clock() - tonumber(ARGV[5]) then return 'alive' end
  finish(ARGV[1], now, ARGV[6], 'interrupted', number('lost') + 1)
  return 'interrupted'
end
redis.call('HSET', job, 'begun', try, 'by', ARGV[4], 'alive', clock(), 'phase', 'working',
  'since', now, 'tries', try)
redis.call('ZREM', line, ARGV[1])
ring()
return 'go'
"""
)

# ARGV: the try's number, then fields and values. Returns "stop" where the call is to stop;
# what only seemed to be interrupted goes on.
GO_ON = (
    _LIBRARY
    + """
local by = get('ended_by')
if by == 'interrupted' then return '' end
if by or redis.call('EXISTS', job) == 0 then return 'stop' end
if number('over') >= tonumber(ARGV[1]) then return 'stop' end
redis.call('HSET', job, 'alive', clock())
if #ARGV > 1 then set_all(2) end
return ''
"""
)

# ARGV: id, now, the try's number, how many more were lost, when to try again, then fields and
# values. Returns whether there is to be another try; run again, because its answer was lost, too.
PAUSE = (
    _LIBRARY
    + """
if get('outcome') or redis.call('EXISTS', job) == 0 then return 0 end
if number('over') >= tonumber(ARGV[3]) then return 1 end
redis.call('HSET', job, 'phase', 'paused', 'since', ARGV[2], 'over', ARGV[3],
  'lost', number('lost') + tonumber(ARGV[4]), 'resume_at', ARGV[5], 'drafts', 0)
redis.call('HDEL', job, 'partial')
redis.call('ZADD', line, ARGV[5], ARGV[1])
set_all(6)
return 1
"""
)

# ARGV: id, now, outcome, what it is: "result" or the kind of a Problem, how many more were lost,
# seconds to keep, seconds that it took.
# The first outcome counts, but a result takes the place of "interrupted".
END = (
    _LIBRARY
    + """
local before = get('ended_by')
if before and not (before == 'interrupted' and ARGV[4] == 'result') then return 0 end
if before then redis.call('HINCRBY', job, 'lost', -1) end
finish(ARGV[1], ARGV[2], ARGV[3], ARGV[4], number('lost') + tonumber(ARGV[5]))
if ARGV[4] == 'result' then redis.call('HSET', job, 'seconds', ARGV[7]) end
redis.call("EXPIRE", job, ARGV[6])
return 1
"""
)

# ARGV: id, now, seconds to keep, the outcome of what was begun, and of what was not. Returns the
# outcome that counts, and how many tries were lost.
CANCEL = (
    _LIBRARY
    + """
local outcome = get('outcome')
if not outcome then
  local lost = number('lost') + (get('phase') == 'working' and 1 or 0)
  outcome = lost > 0 and ARGV[4] or ARGV[5]
  finish(ARGV[1], ARGV[2], outcome, 'cancelled', lost)
  redis.call('EXPIRE', job, ARGV[3])
end
return {outcome, get('lost') or '0', get('tries') or '0'}
"""
)
