import base64
import json
import sys

import openapi_client as c
from openapi_client import models as m

client = c.ApiClient(c.Configuration(host=sys.argv[1]))
confluent, strimzi, pixy, events = c.ConfluentApi(client), c.StrimziApi(client), c.KafkaPixyApi(client), c.CloudeventsApi(client)
EARLIEST = {"name": "one", "auto.offset.reset": "earliest"}


def confluent_consumer(topic):
    confluent.confluent_create_instance(topic, m.ConfluentCreateInstanceBody.from_dict({**EARLIEST, "format": "binary"}))
    confluent.confluent_subscribe(topic, "one", m.ConfluentSubscribeBody(topics=[topic]))
    for _ in range(20):
        for record in confluent.confluent_read_records(topic, "one", timeout=1000):
            return base64.b64decode(record.value).decode()


def kafka_pixy(topic):
    at = pixy.kafka_pixy_produce_message(topic, "hello", sync="", _content_type="text/plain")
    offset = m.KafkaPixyWriteOffsetsBodyEntry(partition=at.partition, offset=at.offset)
    pixy.kafka_pixy_write_offsets(topic, topic, [offset])
    return pixy.kafka_pixy_consume_message(topic, topic, encoding="text").actual_instance.value


def confluent_v2(topic):
    record = m.ConfluentProduceBodyRecordsEntry(value=base64.b64encode(b"hello").decode())
    confluent.confluent_produce(topic, m.ConfluentProduceBody(records=[record]))
    return confluent_consumer(topic)


def confluent_v3(topic):
    cluster = confluent.confluent_list_clusters().data[0].cluster_id
    body = {"value": {"type": "STRING", "data": "hello"}}
    confluent.confluent_produce_records(cluster, topic, m.ConfluentProduceRecordsBody.from_dict(body))
    return confluent_consumer(topic)


def strimzi_both(topic):
    strimzi.strimzi_send(topic, m.ProducerRecordList(records=[m.ProducerRecord(value="hello")]))
    strimzi.strimzi_create_consumer(topic, m.Consumer.from_dict({**EARLIEST, "format": "json"}))
    strimzi.strimzi_subscribe(topic, "one", m.Topics(topics=[topic]))
    for _ in range(20):
        for record in strimzi.strimzi_poll(topic, "one", timeout=1000):
            return record.value


def arion(topic):
    c.ArionApi(client).arion_sync(topic, body=b"hello")
    return confluent_consumer(topic)


def kprf(topic):
    c.KprfApi(client).kprf_push(m.KprfPushBody.from_dict({"records": [{"topic": topic, "data": "hello"}]}))
    return confluent_consumer(topic)


def cloud_events(topic):
    event = {"specversion": "1.0", "id": "1", "source": "/test", "type": "test", "data": "hello"}
    events.cloudevents_produce(topic, cloudevents_produce_body=m.CloudeventsProduceBody.from_dict(event))
    return events.cloudevents_consume(topic, var_from="earliest", timeout=5000).data


apis = {"kafkaPixy": kafka_pixy, "confluentV2": confluent_v2, "confluentV3": confluent_v3, "strimzi": strimzi_both}
apis |= {"arion": arion, "kprf": kprf, "cloudEvents": cloud_events}
read = {}
for name, round_trip in apis.items():
    try:
        read[name] = round_trip(f"{sys.argv[2]}-{name}")
    except Exception as error:
        read[name] = repr(error)
print(json.dumps(read))
