#!/bin/sh
# Records by Confluent's API with curl: version 2, version 3, and a stream of version 3. What each answer means is decided by the code of
# each record and, for a record that failed, by whether it may be in Kafka all the same.
#
#   sh produce.sh http://127.0.0.1:8080/confluent orders
#
# With a topic of one partition, and without creation of missing topics (`delivery.createTopics: false`):
#
# ```text
# version 2: written
# version 2: written
# version 3: written
# stream: written
# stream: 400: fix the record; it is not in Kafka
# stream: written
# unknown topic: 40401: fix the record; it is not in Kafka
# ```
set -eu
url=${1:-http://127.0.0.1:8080/confluent} topic=${2:-orders}
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT

# Says what to do with one record. $1: where it was sent; $2: its code, empty or 200 where it is written; $3: yes, no, unknown or pending.
verdict() {
  case "$2 $3" in
    'null '* | '200 '*) echo "$1: written" ;;
    *' pending') echo "$1: $2: wait; it is in the durable log and will be written" ;;
    *' unknown') echo "$1: $2: it may be in Kafka; send it again only where a copy does no harm" ;;
    '429 '* | '503 '* | '50003 '*) echo "$1: $2: send it again later; it is not in Kafka" ;;
    *) echo "$1: $2: fix the record; it is not in Kafka" ;;
  esac
}

# Version 2: one code per record, in their order. The header has one word, or one letter per record.
v2() {
  curl -sS -D "$work/head" -o "$work/body" "$url/topics/$2" -H 'content-type: application/vnd.kafka.json.v2+json' -d "$3"
  persisted=$(tr -d '\r' <"$work/head" | sed -n 's/^x-castellan-persisted: //p')
  at=0
  grep -o '"error_code":[a-z0-9]*' "$work/body" | cut -d: -f2 | while read -r code; do
    at=$((at + 1))
    case "$persisted" in
      yes | no | unknown | pending) certain=$persisted ;;
      *) case $(echo "$persisted" | cut -c$at) in n) certain=no ;; p) certain=pending ;; *) certain=unknown ;; esac ;;
    esac
    verdict "$1" "$code" "$certain"
  done
}

# Version 3: each record has an answer of one line; the text of a record that failed says whether it is in Kafka.
v3() {
  tr -d '\r' | while read -r line; do
    code=$(echo "$line" | sed 's/^{"error_code":\([0-9]*\).*/\1/')
    case "$line" in
      *'(in Kafka: pending)"}') verdict "$1" "$code" pending ;;
      *'(in Kafka: unknown)"}') verdict "$1" "$code" unknown ;;
      *) verdict "$1" "$code" no ;;
    esac
  done
}

v2 'version 2' "$topic" '{"records":[{"key":"k1","value":{"total":7}},{"key":"k1","value":{"total":8}}]}'

curl -sS "$url/v3/clusters/any/topics/$topic/records" -H 'content-type: application/json' \
  -d '{"key":{"type":"STRING","data":"k1"},"value":{"type":"JSON","data":{"total":9}}}' | v3 'version 3'

# `-T -` sends what comes, when it comes; `-N` shows answers when they come.
{
  echo '{"key":{"type":"STRING","data":"k1"},"value":{"type":"JSON","data":{"total":10}}}'
  echo '{"value":{"type":"BINARY","data":"this is not base64"}}'
  echo '{"key":{"type":"STRING","data":"k1"},"value":{"type":"JSON","data":{"total":11}}}'
} | curl -sSN -X POST -T - "$url/v3/clusters/any/topics/$topic/records" -H 'content-type: application/json' | v3 stream

v2 'unknown topic' "no-$topic" '{"records":[{"value":1}]}'
