import createClient from 'openapi-fetch'
import { told } from './round-trips'
import type { components, paths } from './schema'

const client = createClient<paths>({ baseUrl: process.argv[2]! })
const V2 = { headers: { 'content-type': 'application/vnd.kafka.v2+json' } }
const bytes = (body: unknown): string => body as string

told({
  kafkaPixy: async topic => {
    const [path, query] = [{ topic }, { group: topic }]
    const { data: at } = await client.POST('/pixy/topics/{topic}/messages', {
      params: { path, query: { sync: '' } },
      body: 'hello',
      bodySerializer: bytes,
      headers: { 'content-type': 'text/plain' }
    })
    if (at === undefined || !('offset' in at)) return at
    const body = [{ partition: at.partition!, offset: at.offset! }]
    await client.POST('/pixy/topics/{topic}/offsets', { params: { path, query }, body })
    const { data } = await client.GET('/pixy/topics/{topic}/messages', {
      params: { path, query: { ...query, encoding: 'text' } }
    })
    return data !== undefined && 'value' in data ? data.value : 'nothing'
  },
  confluentV2: async topic => {
    const answer = await client.POST('/confluent/topics/{topic}', {
      params: { path: { topic } },
      body: { records: [{ value: btoa('hello') }] },
      headers: { 'content-type': 'application/vnd.kafka.binary.v2+json' }
    })
    return answer.error
  },
  confluentV3: async topic => {
    const { data: clusters } = await client.GET('/confluent/v3/clusters')
    const answer = await client.POST('/confluent/v3/clusters/{cluster_id}/topics/{topic_name}/records', {
      params: { path: { cluster_id: clusters!.data[0]!.cluster_id, topic_name: topic } },
      body: { value: { type: 'STRING', data: 'hello' } }
    })
    return answer.error
  },
  confluentConsumer: async (topic, instance) => {
    const path = { group: topic, instance }
    const body = { name: instance, format: 'binary', 'auto.offset.reset': 'earliest' }
    await client.POST('/confluent/consumers/{group}', { params: { path }, body, ...V2 })
    const at = '/confluent/consumers/{group}/instances/{instance}'
    await client.POST(`${at}/subscription`, { params: { path }, body: { topics: [topic] }, ...V2 })
    return async () => {
      const { data } = await client.GET(`${at}/records`, { params: { path, query: { timeout: 1000 } } })
      return data?.map(({ value }) => atob(value as string))
    }
  },
  strimzi: async topic => {
    const answer = await client.POST('/strimzi/topics/{topicname}', {
      params: { path: { topicname: topic } },
      body: { records: [{ value: 'hello' }] },
      headers: { 'content-type': 'application/vnd.kafka.json.v2+json' }
    })
    return answer.error
  },
  strimziConsumer: async (topic, name) => {
    const path = { groupid: topic, name }
    const body = { name, format: 'json', 'auto.offset.reset': 'earliest' }
    await client.POST('/strimzi/consumers/{groupid}', { params: { path }, body, ...V2 })
    const at = '/strimzi/consumers/{groupid}/instances/{name}'
    await client.POST(`${at}/subscription`, { params: { path }, body: { topics: [topic] }, ...V2 })
    const headers = { accept: 'application/vnd.kafka.json.v2+json' }
    return async () => {
      const { data } = await client.GET(`${at}/records`, { params: { path, query: { timeout: 1000 } }, headers })
      return data?.map(({ value }) => value as string)
    }
  },
  arion: async topic => {
    const answer = await client.POST('/arion/sync/{topic}', {
      params: { path: { topic } },
      body: 'hello',
      bodySerializer: bytes,
      headers: { 'content-type': 'application/octet-stream' }
    })
    return answer.error
  },
  kprf: async topic => (await client.POST('/kprf/push', { body: { records: [{ topic, data: 'hello' }] } })).error,
  cloudEvents: async topic => {
    const path = { topic }
    const body = { specversion: '1.0', id: '1', source: '/test', type: 'test', data: 'hello' } as const
    const headers = { 'content-type': 'application/cloudevents+json' }
    await client.POST('/events/{topic}', { params: { path }, body, headers })
    const { data } = await client.GET('/events/{topic}', {
      params: { path, query: { from: 'earliest', timeout: 5000 } },
      headers: { accept: 'application/cloudevents+json' }
    })
    return data !== undefined && 'data' in data ? data.data : 'nothing'
  },
  queues: async topic => {
    await client.POST('/kprf/push', { body: { records: [{ topic, data: 'hello' }], wait_for_send: true } })
    const path = { topic, group: topic }
    const at = '/queues/{topic}/{group}'
    const { data, error } = await client.POST(`${at}/acquire`, {
      params: { path },
      body: { start: 'earliest', encoding: 'text' }
    })
    if (data === undefined) return error ?? 'no answer'
    // With another Accept the answer would be the bytes of one message.
    const [message] = (data as components['schemas']['QueuesAcquireAnswer']).messages
    if (message === undefined) return 'no message'
    const { data: settled } = await client.POST(`${at}/settle`, {
      params: { path },
      body: { renew: [message.token] }
    })
    if (settled?.results[0]?.outcome !== 'done') return settled
    const accepted = await client.DELETE(`${at}/messages/{token}`, {
      params: { path: { ...path, token: message.token } }
    })
    const { data: group } = await client.GET(at, { params: { path } })
    return accepted.response.status === 204 && group?.state === 'Stable' ? message.value : accepted.error
  }
})
