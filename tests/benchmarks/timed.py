"""What a benchmark's process answers: how long calls of something take. Plain Python, for TensorFlow 1.15's, too."""

import json
import sys
import time


def answer(make, warm=1):
    """Answers lines of JSON {"name": NAME, "calls": M} with {"seconds": of each of M calls, "processor": its seconds}.

    Args:
        make: NAME -> what is called; it is made once, and called `warm` times before any call counts.
        warm: how often.
    """
    ready = {}
    for line in sys.stdin:
        request = json.loads(line)
        name = request["name"]
        key = json.dumps(name)
        if key not in ready:
            ready[key] = make(name)
            for _ in range(warm):
                ready[key]()
        seconds, processor = [], []
        for _ in range(request["calls"]):
            begin, used = time.perf_counter(), time.process_time()
            ready[key]()
            processor.append(time.process_time() - used)
            seconds.append(time.perf_counter() - begin)
        print(json.dumps({"seconds": seconds, "processor": processor}))
        sys.stdout.flush()
