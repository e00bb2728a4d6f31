import { expect } from 'chai'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { GroupInstance } from '../../support/group-instance.js'
import { SeededRandom } from '../../support/random.js'
import { RawSocket } from '../../support/raw-socket.js'
import { brief, PixyGateway } from './stage.js'

interface Message {
  readonly key: string | null
  readonly value: string | null
  readonly partition: number
  readonly offset: number
  readonly headers: readonly { readonly key: string; readonly value: string | null }[]
}

/** Polls and commits are quick, so that tests are. */
const QUICK = {
  'consumer.longPollMs': '200',
  'advanced.consumer.commitIntervalMs': '20',
  'consumer.start': 'earliest',
  'consumer.ackTimeoutMs': '500',
  'advanced.consumer.revocationMs': '100'
}
/** Of tests that wait for messages. */
const PATIENT = { ...QUICK, 'consumer.longPollMs': '10000' }

const text = (base64: string | null): string | null => base64 && Buffer.from(base64, 'base64').toString()

describe('pixy: consume', function () {
  this.timeout(30_000)
  let patient: PixyGateway
  let quick: PixyGateway
  let cluster: EmbeddedCluster
  let library: GroupInstance
  let topics = 0

  before(async () => {
    patient = await PixyGateway.start(PATIENT)
    cluster = patient.cluster
    quick = await PixyGateway.over(cluster, QUICK)
    library = await GroupInstance.start(cluster.bootstrap)
  })
  after(async () => {
    await library.stop()
    await quick.stop()
    await patient.stopAll()
  })

  /** A topic of its own, with messages `m0`, `m1`, … in its only partition. */
  async function topicWith(messages: number, partitions = 1): Promise<string> {
    const topic = `t${topics++}`
    cluster.createTopic(topic, { partitions })
    for (let i = 0; i < messages; i++) await patient.produce(`/topics/${topic}/messages?sync&key=k`, `m${i}`)
    return topic
  }

  const next = async (pixy: PixyGateway, topic: string, query = `group=${topic}`): Promise<Message> => {
    const answer = await pixy.get(`/topics/${topic}/messages?${query}`)
    expect(answer.status, answer.body).to.equal(200)
    return JSON.parse(answer.body) as Message
  }
  const textOf = async (pixy: PixyGateway, topic: string, query?: string): Promise<string | null> =>
    text((await next(pixy, topic, query)).value)
  const committedOf = (topic: string, partition = 0): Promise<string> => library.committed(topic, topic, partition)
  const until = async (isTrue: () => Promise<boolean>): Promise<void> => {
    while (!(await isTrue())) await new Promise(resolve => setTimeout(resolve, 10))
  }

  it('pixy H17 H18: a request that does not name exactly one group is refused', async () => {
    const said = async (query: string) => brief(await quick.get(`/topics/test.1/messages${query}`))
    expect(await said('')).to.equal('400 {"error":"one consumer group is expected, but 0 provided"}')
    expect(await said('?group=a&group=b')).to.equal('400 {"error":"one consumer group is expected, but 2 provided"}')
    expect(await said('?group=')).to.equal('400 {"error":"one consumer group is expected, but its name is empty"}')
  })

  it('pixy H19: a request is told the same where there is no message and where there is no such topic', async () => {
    const timeout = '408 {"error":"long polling timeout"}'
    expect(brief(await quick.get('/topics/gone/messages?group=g'))).to.equal(timeout)
    expect(brief(await quick.get('/topics/test.1/messages?group=nothing'))).to.equal(timeout)
  })

  it('pixy H23: a consumer that is switched off refuses requests with 503', async () => {
    const pixy = await PixyGateway.over(cluster, { 'apis.kafka-pixy.consumerDisabled': 'true' })
    try {
      expect(brief(await pixy.get('/topics/test.1/messages?group=g'))).to.equal(
        '503 {"error":"service is disabled by configuration"}'
      )
      expect((await pixy.get('/topics/test.1/messages')).status).to.equal(400)
    } finally {
      await pixy.stop()
    }
  })

  it('pixy H24: headers, keys and values are answered to the byte', async () => {
    const topic = await topicWith(0)
    const headers = { 'X-Kafka-Foo': 'YmFy', 'X-Kafka-': '' }
    await patient.produce(`/topics/${topic}/messages?sync&key=`, '<&>', headers)
    const { body } = await patient.get(`/topics/${topic}/messages?group=${topic}`)
    expect(body).to.equal(
      '{\n  "key": "",\n  "value": "PCY+",\n  "partition": 0,\n  "offset": 0,\n  "headers": [\n    {\n      "key": "Foo",\n      "value": "YmFy"\n    },\n    {\n      "key": "",\n      "value": ""\n    }\n  ]\n}'
    )
    await patient.produce(`/topics/${topic}/messages?sync`, '')
    expect((await patient.get(`/topics/${topic}/messages?group=${topic}`)).body).to.equal(
      '{\n  "key": null,\n  "value": "",\n  "partition": 0,\n  "offset": 1,\n  "headers": []\n}'
    )
  })

  it('pixy H42: the path may name the cluster', async () => {
    const topic = await topicWith(1)
    const { body } = await patient.get(`/clusters/default/topics/${topic}/messages?group=${topic}`)
    expect(text((JSON.parse(body) as Message).value)).to.equal('m0')
    expect((await patient.get(`/clusters/nope/topics/${topic}/messages?group=${topic}`)).status).to.equal(400)
  })

  it('pixy H50: one message more than the setting says may wait for its ack', async () => {
    const topic = await topicWith(6)
    const pixy = await PixyGateway.over(cluster, {
      ...QUICK,
      'consumer.ackTimeoutMs': '60000',
      'consumer.maxPendingMessages': '3'
    })
    try {
      const said: string[] = []
      // The first ones may wait for the group to be joined.
      while ((await pixy.get(`/topics/${topic}/messages?group=${topic}&noAck`)).status === 408);
      for (let i = 0; i < 5; i++)
        said.push(String((await pixy.get(`/topics/${topic}/messages?group=${topic}&noAck`)).status))
      expect(said).to.deep.equal(['200', '200', '200', '408', '408'])
      expect(brief(await pixy.post(`/topics/${topic}/acks?group=${topic}&partition=0&offset=1`))).to.equal('200 {}')
      expect(await textOf(pixy, topic, `group=${topic}&noAck`)).to.equal('m4')
      expect((await pixy.get(`/topics/${topic}/messages?group=${topic}&noAck`)).status).to.equal(408)
    } finally {
      await pixy.stop()
    }
  })

  it('pixy P10: what is not acknowledged in time is offered again', async () => {
    const topic = await topicWith(1)
    expect(await textOf(patient, topic, `group=${topic}&noAck`)).to.equal('m0')
    expect(await textOf(patient, topic, `group=${topic}&noAck`)).to.equal('m0')
  })

  it('pixy C11: more requests than may wait are told so at once', async () => {
    const topic = await topicWith(0)
    // They wait until the process stops, so all of them come while the first one waits.
    const crowded = await PixyGateway.over(cluster, { ...QUICK, 'consumer.longPollMs': '600000' })
    const refused: Awaited<ReturnType<typeof crowded.get>>[] = []
    const polls = Array.from({ length: 90 }, async () => {
      const answer = await crowded.get(`/topics/${topic}/messages?group=crowd`)
      if (answer.status === 429) refused.push(answer)
      return answer.status
    })
    await until(async () => refused.length === 90 - 65)
    const stopped = crowded.app.stop()
    expect((await Promise.all(polls)).filter(status => status === 503)).to.have.length(65)
    await stopped
    await crowded.stop()
    expect(refused).to.have.length(90 - 65)
    expect(refused[0]!.body).to.include('Too many requests. Consider increasing `consumer.channel_buffer_size`')
    expect(refused[0]!.headers['retry-after']).to.equal('1')
  })

  it('a limit that the original had not is named when it is reached', async () => {
    const pixy = await PixyGateway.over(cluster, {
      ...QUICK,
      'advanced.consumer.maxGroups': '1'
    })
    try {
      const said = async (topic: string, group: string) =>
        brief(await pixy.get(`/topics/${topic}/messages?group=${group}`))
      expect(await said('test.1', 'first')).to.match(/^408 /)
      expect(await said('test.1', 'second')).to.equal(
        '429 {"error":"too many groups (limit 1; advanced.consumer.maxGroups)"}'
      )
    } finally {
      await pixy.stop()
    }
  })

  describe('acks', () => {
    it('are taken in any order, in a form and twice, and never for what was not offered', async () => {
      const topic = await topicWith(3)
      for (let i = 0; i < 3; i++) await next(patient, topic, `group=${topic}&noAck`)
      const ack = async (offset: number) =>
        brief(
          await patient.post(`/topics/${topic}/acks`, `group=${topic}&partition=0&offset=${offset}`, {
            'content-type': 'application/x-www-form-urlencoded'
          })
        )
      expect(await ack(1)).to.equal('200 {}')
      await until(async () => (await committedOf(topic)) === '0 1-2')
      expect(await ack(1)).to.equal('200 {}')
      expect(await ack(0)).to.equal('200 {}')
      await until(async () => (await committedOf(topic)) === '2')
      expect(await ack(99)).to.equal(`400 {"error":"offset 99 of {${topic} ${topic} 0} has not been offered"}`)
      expect(await committedOf(topic)).to.equal('2')
    })
  })

  describe('clients that go away', () => {
    const leaving = async (topic: string): Promise<void> => {
      const leave = new AbortController()
      const gone = patient.ask(`/topics/${topic}/messages?group=${topic}`, { signal: leave.signal }).catch(() => 'gone')
      await until(async () => (await openPolls(patient)) > 0)
      leave.abort()
      expect(await gone).to.equal('gone')
      await until(async () => (await openPolls(patient)) === 0)
    }

    it('pixy 3: while they wait take no message with them', async () => {
      const topic = await topicWith(0)
      await leaving(topic)
      await leaving(topic)
      await patient.produce(`/topics/${topic}/messages?sync`, 'kept')
      expect(await textOf(patient, topic)).to.equal('kept')
    })

    it('pixy 3: at any moment, lose no message that has to be acknowledged', async () => {
      const topic = await topicWith(0, 2)
      const messages = 60
      const acked = new Set<string>()
      let sent = 0
      const random = new SeededRandom(12)
      const query = `group=${topic}&noAck`
      const poll = async (): Promise<void> => {
        const leave = new AbortController()
        // Most leave while they wait, some while they are answered.
        const timer = random.next() < 0.7 ? setTimeout(() => leave.abort(), random.next() * 15) : undefined
        const asked = patient.ask(`/topics/${topic}/messages?${query}`, { signal: leave.signal })
        const answer = await asked.catch(() => undefined)
        clearTimeout(timer)
        if (answer?.status !== 200) return
        const { partition, offset } = JSON.parse(answer.body) as Message
        const ack = await patient.post(`/topics/${topic}/acks?group=${topic}&partition=${partition}&offset=${offset}`)
        if (ack.status === 200) acked.add(`${partition}/${offset}`)
      }
      const client = async (): Promise<void> => {
        while (acked.size < messages) {
          if (sent < messages) await patient.produce(`/topics/${topic}/messages?sync&key=${sent++}`, 'm')
          await poll()
        }
      }
      const clients = Array.from({ length: 6 }, client)
      await Promise.race([Promise.all(clients), until(async () => acked.size === messages)])
      expect(acked.size).to.equal(messages)
    }).timeout(180_000)
  })

  it('new: several messages in one answer, with time and text where that is asked for', async () => {
    const topic = await topicWith(5)
    const ask = async (query: string) =>
      JSON.parse((await patient.get(`/topics/${topic}/messages?group=${topic}&${query}`)).body)
    const three = (await ask('count=3')) as Message[]
    expect(three.map(({ value }) => text(value))).to.deep.equal(['m0', 'm1', 'm2'])
    const rest = (await ask('count=100&encoding=text&timestamp')) as (Message & { timestamp: number })[]
    expect(rest.map(({ key, value, timestamp }) => [key, value, timestamp > 1e12])).to.deep.equal([
      ['k', 'm3', true],
      ['k', 'm4', true]
    ])
    await until(async () => (await committedOf(topic)) === '5')
  })

  it('new: several messages of several partitions, each once, acknowledged as the request says', async () => {
    const topic = await topicWith(0, 4)
    for (let i = 0; i < 40; i++) await patient.produce(`/topics/${topic}/messages?sync&key=${i}`, `m${i}`)
    const ask = async (query: string) =>
      JSON.parse((await patient.get(`/topics/${topic}/messages?group=${topic}&${query}`)).body) as Message[]
    const placeOf = ({ partition, offset }: Message) => `${partition}/${offset}`
    const offered: Message[] = []
    while (offered.length < 40) offered.push(...(await ask('count=15&noAck')))
    expect(new Set(offered.map(placeOf)).size).to.equal(40)
    const committed = () => Promise.all([0, 1, 2, 3].map(partition => committedOf(topic, partition)))
    expect(await committed()).to.deep.equal(['0', '0', '0', '0'])
    // They come again when their time is over, and count as processed when they are sent.
    const again: Message[] = []
    while (new Set(again.map(placeOf)).size < 40) again.push(...(await ask('count=100')))
    const ends = cluster.records.bind(cluster, topic)
    const expected = [0, 1, 2, 3].map(partition => String(ends(partition).length))
    await until(async () => (await committed()).join() === expected.join())
  })

  it('takes no message before its answer is next on the connection', async () => {
    const [silent, topic] = [await topicWith(0), await topicWith(1)]
    const socket = await RawSocket.open(patient.app.urls.apis.get('kafka-pixy')!)
    const ask = (name: string) => `GET /topics/${name}/messages?group=${topic} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`
    await socket.send(`GET /topics/${silent}/tail HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n${ask(topic)}`)
    await socket.until(received => received.includes('200 OK'))
    expect(await next(patient, topic, `group=${topic}`)).to.include({ offset: 0 })
    socket.reset()
    await until(async () => (await openPolls(patient)) === 0)
  })

  it('new: a request for several messages acknowledges one that came before', async () => {
    const topic = await topicWith(3)
    const first = await next(patient, topic, `group=${topic}&noAck`)
    const place = `ackPartition=${first.partition}&ackOffset=${first.offset}`
    const { body } = await patient.get(`/topics/${topic}/messages?group=${topic}&count=9&${place}`)
    expect((JSON.parse(body) as Message[]).map(({ offset }) => offset)).to.deep.equal([1, 2])
    await until(async () => (await committedOf(topic)) === '1')
  })
})

/** Clients of the process that wait for a message. */
const openPolls = (pixy: PixyGateway): Promise<number> => metricOf(pixy, 'kafka_pixy_open_polls')

async function metricOf({ app }: PixyGateway, name: string): Promise<number> {
  const metrics = await (await fetch(`${app.urls.management}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(metrics)?.[1] ?? 0)
}
