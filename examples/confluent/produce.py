"""Records by Confluent's API with requests: version 2, version 3, and a stream of version 3.

What each answer means is decided by the code of each record and, for a record that failed, by whether it may be in Kafka all the same.

    python3 produce.py http://127.0.0.1:8080/confluent orders

With a topic of one partition, and without creation of missing topics (`delivery.createTopics: false`):

```text
version 2: written at 0/0
version 2: written at 0/1
version 3: written at 0/2
stream: written at 0/3
stream: 400: fix the record; it is not in Kafka
stream: written at 0/4
unknown topic: 40401: fix the record; it is not in Kafka
```
"""

import json
import re
import sys

import requests

url = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080/confluent"
topic = sys.argv[2] if len(sys.argv) > 2 else "orders"
session = requests.Session()
# Longer than the gateway waits for Kafka (apis.confluent.syncTimeoutMs, a minute): its answer says more than a time-out here.
TIMEOUT_S = 90


def verdict(code, persisted):
    """What to do with a record that failed. `persisted`: no, unknown or pending."""
    if persisted == "pending":
        return f"{code}: wait; it is in the durable log and will be written"
    if persisted == "unknown":
        return f"{code}: it may be in Kafka; send it again only where a copy does no harm"
    if code in (429, 503, 50003):
        return f"{code}: send it again later; it is not in Kafka"
    return f"{code}: fix the record; it is not in Kafka"


def persisted_of(answer, at):
    """The header has one word, or one letter per record."""
    words = {"y": "yes", "n": "no", "u": "unknown", "p": "pending"}
    text = answer.headers.get("x-castellan-persisted", "unknown")
    return text if text in words.values() else words[text[at]]


def produce_v2(name, to, records):
    """Version 2: one code per record, in their order; none where the request was refused as a whole."""
    kind = {"content-type": "application/vnd.kafka.json.v2+json"}
    answer = session.post(f"{url}/topics/{to}", data=json.dumps({"records": records}), headers=kind, timeout=TIMEOUT_S)
    body = answer.json()
    for at, record in enumerate(body.get("offsets", [body])):
        if record["error_code"] is None:
            print(f"{name}: written at {record['partition']}/{record['offset']}")
        else:
            print(f"{name}: {verdict(record['error_code'], persisted_of(answer, at))}")


def produce_v3(name, to, body):
    """Version 3: each record has an answer of one line; the text of a record that failed says whether it is in Kafka."""
    where = f"{url}/v3/clusters/any/topics/{to}/records"
    kind = {"content-type": "application/json"}
    with session.post(where, data=body, headers=kind, stream=True, timeout=TIMEOUT_S) as answer:
        for line in answer.iter_lines():
            record = json.loads(line)
            if record["error_code"] == 200:
                print(f"{name}: written at {record['partition_id']}/{record['offset']}")
            else:
                found = re.search(r"\(in Kafka: (\w+)\)$", record["message"])
                print(f"{name}: {verdict(record['error_code'], found.group(1) if found else 'no')}")


def stream():
    """requests reads answers when it has sent all records: send at most some thousand in one stream."""
    for value in (
        {"type": "JSON", "data": {"total": 10}},
        {"type": "BINARY", "data": "this is not base64"},
        {"type": "JSON", "data": {"total": 11}},
    ):
        yield json.dumps({"key": {"type": "STRING", "data": "k1"}, "value": value}).encode()


produce_v2("version 2", topic, [{"key": "k1", "value": {"total": total}} for total in (7, 8)])
single = {"key": {"type": "STRING", "data": "k1"}, "value": {"type": "JSON", "data": {"total": 9}}}
produce_v3("version 3", topic, json.dumps(single))
produce_v3("stream", topic, stream())
produce_v2("unknown topic", f"no-{topic}", [{"value": 1}])
