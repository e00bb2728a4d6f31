package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"

	c "github.com/GIT_USER_ID/GIT_REPO_ID"
)

var (
	client = c.NewAPIClient(&c.Configuration{Servers: c.ServerConfigurations{{URL: os.Args[1]}}, DefaultHeader: map[string]string{}})
	ctx    = context.Background()
	hello  = "hello"
)

// The body that a text in JSON describes.
func of[Body any](format string, a ...any) (body Body) {
	must(json.Unmarshal(fmt.Appendf(nil, format, a...), &body))
	return
}

func must(err error) {
	if err != nil {
		if api, is := err.(*c.GenericOpenAPIError); is {
			panic(fmt.Sprint(err, string(api.Body())))
		}
		panic(err)
	}
}

func got[T, Answer any](value T, _ Answer, err error) T {
	must(err)
	return value
}

func confluentConsumer(topic string) any {
	created := of[c.ConfluentCreateInstanceBody](`{"name": "one", "format": "binary", "auto.offset.reset": "earliest"}`)
	got(client.ConfluentAPI.ConfluentCreateInstance(ctx, topic).ConfluentCreateInstanceBody(created).Execute())
	topics := of[c.ConfluentSubscribeBody](`{"topics": [%q]}`, topic)
	_, err := client.ConfluentAPI.ConfluentSubscribe(ctx, topic, "one").ConfluentSubscribeBody(topics).Execute()
	must(err)
	for polls := 0; polls < 20; polls++ {
		for _, record := range got(client.ConfluentAPI.ConfluentReadRecords(ctx, topic, "one").Timeout(1000).Execute()) {
			value, err := base64.StdEncoding.DecodeString(record.Value.(string))
			must(err)
			return string(value)
		}
	}
	return "no record"
}

func kafkaPixy(topic string) any {
	at := got(client.KafkaPixyAPI.KafkaPixyProduceMessage(ctx, topic).Body(hello).Sync("").Execute())
	offsets := []c.KafkaPixyWriteOffsetsBodyEntry{{Partition: int32(*at.Partition), Offset: *at.Offset}}
	got(client.KafkaPixyAPI.KafkaPixyWriteOffsets(ctx, topic).Group(topic).KafkaPixyWriteOffsetsBodyEntry(offsets).Execute())
	read := got(client.KafkaPixyAPI.KafkaPixyConsumeMessage(ctx, topic).Group(topic).Encoding("text").Execute())
	return read.KafkaPixyConsumeMessageAnswer.Value
}

func confluentV2(topic string) any {
	body := of[c.ConfluentProduceBody](`{"records": [{"value": %q}]}`, base64.StdEncoding.EncodeToString([]byte(hello)))
	got(client.ConfluentAPI.ConfluentProduce(ctx, topic).ConfluentProduceBody(body).Execute())
	return confluentConsumer(topic)
}

func confluentV3(topic string) any {
	cluster := got(client.ConfluentAPI.ConfluentListClusters(ctx).Execute()).Data[0].ClusterId
	body := of[c.ConfluentProduceRecordsBody](`{"value": {"type": "STRING", "data": "hello"}}`)
	got(client.ConfluentAPI.ConfluentProduceRecords(ctx, cluster, topic).ConfluentProduceRecordsBody(body).Execute())
	return confluentConsumer(topic)
}

func strimzi(topic string) any {
	records := of[c.ProducerRecordList](`{"records": [{"value": "hello"}]}`)
	got(client.StrimziAPI.StrimziSend(ctx, topic).ProducerRecordList(records).Execute())
	created := of[c.Consumer](`{"name": "one", "format": "json", "auto.offset.reset": "earliest"}`)
	got(client.StrimziAPI.StrimziCreateConsumer(ctx, topic).Consumer(created).Execute())
	_, err := client.StrimziAPI.StrimziSubscribe(ctx, topic, "one").Topics(of[c.Topics](`{"topics": [%q]}`, topic)).Execute()
	must(err)
	for polls := 0; polls < 20; polls++ {
		for _, record := range got(client.StrimziAPI.StrimziPoll(ctx, topic, "one").Timeout(1000).Execute()) {
			return record.Value
		}
	}
	return "no record"
}

func arion(topic string) any {
	must(os.WriteFile("hello.txt", []byte(hello), 0o600))
	file, err := os.Open("hello.txt")
	must(err)
	got(client.ArionAPI.ArionSync(ctx, topic).Body(file).Execute())
	return confluentConsumer(topic)
}

func kprf(topic string) any {
	body := of[c.KprfPushBody](`{"records": [{"topic": %q, "data": "hello"}]}`, topic)
	got(client.KprfAPI.KprfPush(ctx).KprfPushBody(body).Execute())
	return confluentConsumer(topic)
}

func cloudEvents(topic string) any {
	event := of[c.CloudeventsProduceBody](`{"specversion": "1.0", "id": "1", "source": "/test", "type": "test", "data": "hello"}`)
	got(client.CloudeventsAPI.CloudeventsProduce(ctx, topic).CloudeventsProduceBody(event).Execute())
	return got(client.CloudeventsAPI.CloudeventsConsume(ctx, topic).From("earliest").Timeout(5000).Execute()).Data
}

func main() {
	read := map[string]any{}
	apis := map[string]func(string) any{"kafkaPixy": kafkaPixy, "confluentV2": confluentV2, "confluentV3": confluentV3,
		"strimzi": strimzi, "arion": arion, "kprf": kprf, "cloudEvents": cloudEvents}
	for name, roundTrip := range apis {
		func() {
			defer func() {
				if err := recover(); err != nil {
					read[name] = fmt.Sprint(err)
				}
			}()
			read[name] = roundTrip(os.Args[2] + "-" + name)
		}()
	}
	told, _ := json.Marshal(read)
	fmt.Println(string(told))
}
