import * as client from './client'
import { told } from './round-trips'

const { fetch: original } = globalThis
globalThis.fetch = (path, init) => original(`${process.argv[2]}${path}`, init)
const as = (type: string) => ({ headers: { 'content-type': type } })
const JSON_V2 = 'application/vnd.kafka.json.v2+json'
const problem = ({ status, data }: { status: number; data: unknown }): unknown => (status < 300 ? undefined : data)

told({
  kafkaPixy: async topic => {
    const { data: at } = await client.kafkaPixyProduceMessage(topic, 'hello', { sync: '' }, as('application/json'))
    if (typeof at !== 'object' || !('offset' in at)) return at
    const offsets = [{ partition: at.partition!, offset: at.offset! }]
    await client.kafkaPixyWriteOffsets(topic, offsets, { group: topic })
    const { data } = await client.kafkaPixyConsumeMessage(topic, { group: topic, encoding: 'text' })
    return typeof data === 'object' && 'value' in data ? data.value : data
  },
  confluentV2: async topic => {
    const body = { records: [{ value: btoa('hello') }] }
    return problem(await client.confluentProduce(topic, body, as('application/vnd.kafka.binary.v2+json')))
  },
  confluentV3: async topic => {
    const clusters = await client.confluentListClusters()
    if (clusters.status !== 200) return clusters.data
    const id = clusters.data.data[0]!.cluster_id
    return problem(await client.confluentProduceRecords(id, topic, { value: { type: 'STRING', data: 'hello' } }))
  },
  confluentConsumer: async (topic, name) => {
    await client.confluentCreateInstance(topic, { name, format: 'binary', 'auto.offset.reset': 'earliest' })
    await client.confluentSubscribe(topic, name, { topics: [topic] })
    return async () => {
      const { status, data } = await client.confluentReadRecords(topic, name, { timeout: 1000 })
      return status === 200 ? data.map(({ value }) => atob(value as string)) : [JSON.stringify(data)]
    }
  },
  strimzi: async topic => problem(await client.strimziSend(topic, { records: [{ value: 'hello' }] })),
  strimziConsumer: async (topic, name) => {
    await client.strimziCreateConsumer(topic, { name, format: 'json', 'auto.offset.reset': 'earliest' })
    await client.strimziSubscribe(topic, name, { topics: [topic] })
    return async () => {
      const { status, data } = await client.strimziPoll(
        topic,
        name,
        { timeout: 1000 },
        { headers: { accept: JSON_V2 } }
      )
      return status === 200 ? data.map(({ value }) => value as string) : [JSON.stringify(data)]
    }
  },
  arion: async topic => problem(await client.arionSync(topic, new Blob(['hello']))),
  kprf: async topic => problem(await client.kprfPush({ records: [{ topic, data: 'hello' }] }, as('application/json'))),
  cloudEvents: async topic => {
    const event = { specversion: '1.0', id: '1', source: '/test', type: 'test', data: 'hello' } as const
    await client.cloudeventsProduce(topic, event, {}, as('application/cloudevents+json'))
    const headers = { accept: 'application/cloudevents+json' }
    const { data } = await client.cloudeventsConsume(topic, { from: 'earliest', timeout: 5000 }, { headers })
    return typeof data === 'object' && 'data' in data ? data.data : data
  }
})
