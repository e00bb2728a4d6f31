"""Confluent's serializers of Python, for test/runs/registry: one JSON request per line, one JSON answer per line.

A value is an expression of Python, so that bytes, decimals and times can be told from texts and numbers.
"""

import datetime
import decimal
import importlib
import json
import math
import pathlib
import sys
import tempfile

from confluent_kafka.schema_registry import Schema, SchemaReference, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import json_format
from grpc_tools import protoc

client = SchemaRegistryClient({"url": sys.argv[1]})
files = {}
folder = pathlib.Path(tempfile.mkdtemp())
sys.path.insert(0, str(folder))


def evaluated(text):
    names = {"datetime": datetime, "Decimal": decimal.Decimal, "math": math}
    return eval(text, names)


def message_class(request):
    """The class of a message of a file that is compiled here, such as Outer.Inner."""
    name = files.setdefault(request["schema"], f"file_{len(files)}")
    if not (folder / f"{name}.proto").exists():
        (folder / f"{name}.proto").write_text(request["schema"])
        if protoc.main(["protoc", f"-I{folder}", f"--python_out={folder}", f"{name}.proto"]) != 0:
            raise ValueError("protoc")
    found = importlib.import_module(f"{name}_pb2")
    for part in request["message"].split("."):
        found = getattr(found, part)
    return found


def codecs(request):
    kind = request["format"]
    references = [SchemaReference(**one) for one in request.get("references", [])]
    if kind == "PROTOBUF":
        kept = message_class(request)
        return (
            ProtobufSerializer(kept, client, {"use.deprecated.format": False}),
            ProtobufDeserializer(kept, {"use.deprecated.format": False}),
            lambda value: json_format.ParseDict(value, kept()),
        )
    schema = Schema(request["schema"], "AVRO" if kind == "AVRO" else "JSON", references)
    if kind == "AVRO":
        return AvroSerializer(client, schema), AvroDeserializer(client), lambda value: value
    return JSONSerializer(schema, client), JSONDeserializer(schema, schema_registry_client=client), lambda value: value


def same(one, other):
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


for line in sys.stdin:
    request = json.loads(line)
    try:
        serialize, deserialize, made = codecs(request)
        context = SerializationContext(request["topic"], MessageField.VALUE)
        value = made(evaluated(request["value"]))
        if request["op"] == "write":
            answer = {"hex": serialize(value, context).hex()}
        else:
            found = deserialize(bytes.fromhex(request["hex"]), context)
            answer = {"same": same(found, value), "found": repr(found), "wanted": repr(value)}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
