import { ArionApi, CloudeventsApi, Configuration, ConfluentApi, KafkaPixyApi, KprfApi, StrimziApi } from './out'
import { told } from './round-trips'

const configuration = new Configuration({ basePath: process.argv[2] })
const confluent = new ConfluentApi(configuration)
const strimzi = new StrimziApi(configuration)
const value = 'hello'

told({
  kafkaPixy: async topic => {
    const pixy = new KafkaPixyApi(configuration)
    const at = await pixy.kafkaPixyProduceMessage({ topic, body: value, sync: '' })
    const kafkaPixyWriteOffsetsBodyEntry = [{ partition: at!.partition!, offset: at!.offset! }]
    await pixy.kafkaPixyWriteOffsets({ topic, group: topic, kafkaPixyWriteOffsetsBodyEntry })
    const read = await pixy.kafkaPixyConsumeMessage({ topic, group: topic, encoding: 'text' })
    return 'value' in read ? read.value : read
  },
  confluentV2: async topic => {
    await confluent.confluentProduce({ topic, confluentProduceBody: { records: [{ value: btoa(value) }] } })
  },
  confluentV3: async topicName => {
    const { data } = await confluent.confluentListClusters()
    await confluent.confluentProduceRecords({
      clusterId: data[0]!.clusterId,
      topicName,
      confluentProduceRecordsBody: { value: { type: 'STRING', data: value } }
    })
  },
  confluentConsumer: async (group, instance) => {
    const confluentCreateInstanceBody = { name: instance, format: 'binary', autoOffsetReset: 'earliest' }
    await confluent.confluentCreateInstance({ group, confluentCreateInstanceBody })
    await confluent.confluentSubscribe({ group, instance, confluentSubscribeBody: { topics: [group] } })
    return async () => {
      const records = await confluent.confluentReadRecords({ group, instance, timeout: 1000 })
      return records.map(record => atob(record.value as string))
    }
  },
  strimzi: async topicname => {
    await strimzi.strimziSend({ topicname, producerRecordList: { records: [{ value }] } })
  },
  strimziConsumer: async (groupid, name) => {
    await strimzi.strimziCreateConsumer({ groupid, consumer: { name, format: 'json', autoOffsetReset: 'earliest' } })
    await strimzi.strimziSubscribe({ groupid, name, topics: { topics: [groupid] } })
    return async () => {
      const headers = { accept: 'application/vnd.kafka.json.v2+json' }
      const records = await strimzi.strimziPoll({ groupid, name, timeout: 1000 }, { headers })
      return records.map(record => record.value as string)
    }
  },
  arion: async topic => {
    await new ArionApi(configuration).arionSync({ topic, body: new Blob([value]) })
  },
  kprf: async topic => {
    await new KprfApi(configuration).kprfPush({ kprfPushBody: { records: [{ topic, data: value }] } })
  },
  cloudEvents: async topic => {
    const events = new CloudeventsApi(configuration)
    const event = { specversion: '1.0', id: '1', source: '/test', type: 'test', data: value } as const
    await events.cloudeventsProduce({ topic, cloudeventsProduceBody: event })
    const headers = { accept: 'application/cloudevents+json' }
    const read = await events.cloudeventsConsume({ topic, from: 'earliest', timeout: 5000 }, { headers })
    return read!.data
  }
})
