-- One kind of call, over and over. Arguments: key, model, stream (true or false).
-- The last line it prints is JSON for bench/wrk.py.

function init(args)
    local body = string.format(
        '{"model":"%s","stream":%s,"temperature":0.7,"max_tokens":256,"messages":[' ..
        '{"role":"system","content":"You are a helpful assistant of a travel agency. Answer briefly."},' ..
        '{"role":"user","content":"Which three towns between Lyon and Marseille are worth a stop of half a day, ' ..
        'and how do I get from one to the next by train?"}]}', args[2], args[3])
    wrk.method = "POST"
    wrk.body = body
    wrk.headers["Content-Type"] = "application/json"
    wrk.headers["Authorization"] = "Bearer " .. args[1]
    request_bytes = wrk.format()
end

function request()
    return request_bytes
end

function done(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format(
        '\n{"requests":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"refused":%d,"broken":%d,"late":%d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
        errors.status, errors.connect + errors.read + errors.write, errors.timeout))
end
