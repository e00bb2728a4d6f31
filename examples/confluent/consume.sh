#!/bin/sh
# Consumes by Confluent's API with curl: writes a record, creates a consumer instance, subscribes it, reads until the record comes, commits
# what has come, and removes the instance.
#
#   sh consume.sh http://127.0.0.1:8080/confluent consume-example
#
# Without a topic it takes consume-example. All records of the topic, and their keys, have to be JSON: others are answered 408 with code 40801.
#
# ```text
# read: {"total":7}
# committed: []
# ```
set -eu
url=${1:-http://127.0.0.1:8080/confluent} topic=${2:-consume-example}
v2=application/vnd.kafka.v2+json
json=application/vnd.kafka.json.v2+json
ask() { curl --silent --show-error --fail-with-body "$@"; }

ask "$url/topics/$topic" -H "content-type: $json" -d '{"records":[{"value":{"total":7}}]}' >/dev/null

name=consume-$$
instance=$url/consumers/example/instances/$name
settings="{\"name\":\"$name\",\"format\":\"json\",\"auto.offset.reset\":\"earliest\",\"auto.commit.enable\":false}"
ask "$url/consumers/example" -H "content-type: $v2" -d "$settings" >/dev/null
trap 'ask -X DELETE "$instance"' EXIT
ask "$instance/subscription" -H "content-type: $v2" -d "{\"topics\":[\"$topic\"]}"

# A read is answered with an empty list when its time is over.
records='[]'
while [ "$records" = '[]' ]; do records=$(ask "$instance/records" -H "accept: $json") || { echo "$records" >&2 && exit 1; }; done
echo "$records" | sed 's/.*"value":\(.*\),"partition".*/read: \1/'

# Without a body it commits all records that this client has got.
echo "committed: $(ask -X POST "$instance/offsets")"
