#!/bin/sh
# Reads records with a consumer instance: creates it, subscribes, reads until something comes, commits, removes it.
#
#   sh examples/confluent/consume.sh http://127.0.0.1:8080/confluent orders
set -eu
base="${1:-http://127.0.0.1:8080/confluent}"
topic="${2:-orders}"
v2='application/vnd.kafka.v2+json'
json='application/vnd.kafka.json.v2+json'

instance="$base/consumers/example/instances/sh-$$"
curl -sS --fail-with-body "$base/consumers/example" -H "content-type: $v2" \
  -d "{\"name\":\"sh-$$\",\"format\":\"json\",\"auto.offset.reset\":\"earliest\",\"auto.commit.enable\":false}"
echo
trap 'curl -sS -X DELETE "$instance"' EXIT
curl -sS --fail-with-body "$instance/subscription" -H "content-type: $v2" -d "{\"topics\":[\"$topic\"]}"

records='[]'
while [ "$records" = '[]' ]; do
  records=$(curl -sS --fail-with-body "$instance/records" -H "accept: $json")
done
echo "$records"
# Without a body this commits all records that have come.
curl -sS --fail-with-body -X POST "$instance/offsets"
echo
