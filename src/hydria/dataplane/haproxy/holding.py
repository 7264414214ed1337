"""What HAProxy has no word for: holding a request back. A small action in Lua, which HAProxy loads as a file.

It asks the tables again and again, the more seldom the longer it waits, so that many requests which wait cost
little. It keeps nothing of its own: a client that goes away leaves nothing behind, and of those that wait
whoever asks first once there is room is let through.
"""

from __future__ import annotations

ACTION = "lua.hold_back"
HELD = "txn.held"  # set on requests that were

# The rules of a policy are its one argument: for each of them its table, the type of what is counted there,
# the variables of the key and of the limit. Tables for both families of addresses know IPv4 as mapped ones.
SCRIPT = f"""\
local LEAST, MOST = 10, 250 -- milliseconds
local FAMILY = "^%d+%.%d+%.%d+%.%d+$"
local function seen(txn, key, metric, name)
    if metric == "bytes" then
        return (txn.c:table_bytes_in_rate(key, name) or 0) + (txn.c:table_bytes_out_rate(key, name) or 0)
    end
    return txn.c:table_http_req_rate(key, name) or 0
end
local function beyond(txn, rules)
    for name, metric, key, limit in rules:gmatch("(%S+) (%S+) (%S+) (%S+)") do
        local client, allowed = txn:get_var(key), txn:get_var(limit)
        if not client or not allowed then
            return false
        end
        if client:find(FAMILY) then
            client = "::ffff:" .. client
        end
        if seen(txn, client, metric, name) < allowed then
            return false
        end
    end
    return true
end
core.register_action("hold_back", {{"http-req"}}, function(txn, rules)
    local pause = LEAST
    while beyond(txn, rules) do
        core.msleep(pause)
        pause = math.min(2 * pause, MOST)
    end
    txn:set_var("{HELD}", true)
end, 1)
"""
