import base64
import json
import sys
from importlib import import_module
from io import BytesIO

from castellan_client import Client, models as m
from castellan_client.types import File

EARLIEST = {"name": "one", "auto.offset.reset": "earliest"}


def call(api, operation, *names, accept="*/*", **options):
    module = import_module(f"castellan_client.api.{api}.{operation}")
    client = Client(base_url=sys.argv[1], headers={"accept": accept})
    answer = module.sync_detailed(*names, client=client, **options)
    if answer.status_code >= 300:
        raise RuntimeError(answer.content)
    return answer.parsed


def confluent_consumer(topic):
    body = m.ConfluentCreateInstanceBody.from_dict({**EARLIEST, "format": "binary"})
    call("confluent", "confluent_create_instance", topic, body=body)
    call("confluent", "confluent_subscribe", topic, "one", body=m.ConfluentSubscribeBody(topics=[topic]))
    for _ in range(20):
        for record in call("confluent", "confluent_read_records", topic, "one", timeout=1000):
            return base64.b64decode(record.value).decode()


def kafka_pixy(topic):
    at = call("kafka_pixy", "kafka_pixy_produce_message", topic, body="hello", sync="")
    body = [m.KafkaPixyWriteOffsetsBodyEntry(partition=at.partition, offset=at.offset)]
    call("kafka_pixy", "kafka_pixy_write_offsets", topic, body=body, group=topic)
    encoding = m.KafkaPixyConsumeMessageEncoding.TEXT
    return call("kafka_pixy", "kafka_pixy_consume_message", topic, group=topic, encoding=encoding).value


def confluent_v2(topic):
    body = {"records": [{"value": base64.b64encode(b"hello").decode()}]}
    call("confluent", "confluent_produce", topic, body=m.ConfluentProduceBody.from_dict(body))
    return confluent_consumer(topic)


def confluent_v3(topic):
    cluster = call("confluent", "confluent_list_clusters").data[0].cluster_id
    body = m.ConfluentProduceRecordsBody.from_dict({"value": {"type": "STRING", "data": "hello"}})
    call("confluent", "confluent_produce_records", cluster, topic, body=body)
    return confluent_consumer(topic)


def strimzi(topic):
    call("strimzi", "strimzi_send", topic, body=m.ProducerRecordList.from_dict({"records": [{"value": "hello"}]}))
    call("strimzi", "strimzi_create_consumer", topic, body=m.Consumer.from_dict({**EARLIEST, "format": "json"}))
    call("strimzi", "strimzi_subscribe", topic, "one", body=m.Topics(topics=[topic]))
    for _ in range(20):
        for record in call("strimzi", "strimzi_poll", topic, "one", timeout=1000, accept="application/vnd.kafka.json.v2+json"):
            return record.value


def arion(topic):
    call("arion", "arion_sync", topic, body=File(payload=BytesIO(b"hello")))
    return confluent_consumer(topic)


def kprf(topic):
    body = m.KprfPushBody.from_dict({"records": [{"topic": topic, "data": "hello"}]})
    call("kprf", "kprf_push", body=body)
    return confluent_consumer(topic)


def cloud_events(topic):
    event = {"specversion": "1.0", "id": "1", "source": "/test", "type": "test", "data": "hello"}
    call("cloudevents", "cloudevents_produce", topic, body=m.CloudeventsProduceBody.from_dict(event))
    return call("cloudevents", "cloudevents_consume", topic, from_="earliest", timeout=5000, accept="application/cloudevents+json").data


def queues(topic):
    body = {"records": [{"topic": topic, "data": "hello"}], "wait_for_send": True}
    call("kprf", "kprf_push", body=m.KprfPushBody.from_dict(body))
    wanted = m.QueuesAcquireBody.from_dict({"start": "earliest", "encoding": "text"})
    [message] = call("queues", "queues_acquire", topic, topic, body=wanted).messages
    settled = call("queues", "queues_settle", topic, topic, body=m.QueuesSettleBody(renew=[message.token]))
    call("queues", "queues_accept", topic, topic, message.token)
    state = call("queues", "queues_describe", topic, topic).state
    return message.value if (settled.results[0].outcome, state) == ("done", "Stable") else str((settled, state))


apis = {"kafkaPixy": kafka_pixy, "confluentV2": confluent_v2, "confluentV3": confluent_v3, "strimzi": strimzi}
apis |= {"arion": arion, "kprf": kprf, "cloudEvents": cloud_events, "queues": queues}
read = {}
for name, round_trip in apis.items():
    try:
        read[name] = round_trip(f"{sys.argv[2]}-{name}")
    except Exception as error:
        read[name] = repr(error)
print(json.dumps(read))
