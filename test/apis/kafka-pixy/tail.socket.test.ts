import { get, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { expect } from 'chai'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { until } from '../../http/server/stage.js'
import { RawSocket } from '../../support/raw-socket.js'
import { deleteRecords } from '../../support/target-cluster.js'
import { PixyGateway } from './stage.js'

interface Event {
  readonly id: string | undefined
  readonly name: string
  readonly data: string
}

/** A client of server-sent events that keeps what it was sent. */
class EventClient {
  readonly events: Event[] = []
  lastId = ''
  isEnded = false
  isCut = false
  #response: IncomingMessage | undefined
  #rest = ''
  #changed: () => void = () => undefined

  static async open(pixy: PixyGateway, path: string, lastId?: string): Promise<EventClient> {
    const client = new EventClient()
    const headers: IncomingHttpHeaders = lastId === undefined ? {} : { 'last-event-id': lastId }
    const url = `${pixy.app.urls.apis.get('kafka-pixy')}${path}`
    client.#response = await new Promise((resolve, reject) => get(url, { headers }, resolve).on('error', reject))
    client.#listen(client.#response!)
    return client
  }

  get response(): IncomingMessage {
    return this.#response!
  }

  /** Values of the messages so far, as text. */
  get values(): string[] {
    return this.events
      .filter(({ name }) => name === 'message')
      .map(({ data }) => Buffer.from((JSON.parse(data) as { value: string }).value, 'base64').toString())
  }

  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) await new Promise<void>(resolve => (this.#changed = resolve))
  }

  leave(): void {
    this.response.destroy()
  }

  #listen(response: IncomingMessage): void {
    response.setEncoding('utf8')
    response.on('data', (text: string) => {
      const blocks = (this.#rest + text).split('\n\n')
      this.#rest = blocks.pop()!
      for (const block of blocks) this.#block(block)
      this.#changed()
    })
    response.on('end', () => {
      this.isEnded = true
      this.#changed()
    })
    response.on('error', () => undefined)
    response.on('close', () => {
      this.isCut = !this.isEnded
      this.#changed()
    })
  }

  #block(block: string): void {
    const lines = block.split('\n')
    const field = (name: string) => lines.find(line => line.startsWith(`${name}: `))?.slice(name.length + 2)
    const [id, data] = [field('id'), field('data')]
    if (id !== undefined) this.lastId = id
    if (data !== undefined) this.events.push({ id, name: field('event') ?? 'message', data })
  }
}

const pick = (count: number, prefix = 'm', first = 0): string[] =>
  Array.from({ length: count }, (_, at) => `${prefix}${first + at}`)

describe('pixy: tail', function () {
  this.timeout(30_000)
  let pixy: PixyGateway
  let cluster: EmbeddedCluster
  let topics = 0

  before(async () => {
    pixy = await PixyGateway.start()
    cluster = pixy.cluster
  })
  after(() => pixy.stopAll())

  const topicWith = async (messages: number, partitions = 1): Promise<string> => {
    const topic = `tail${topics++}`
    cluster.createTopic(topic, { partitions })
    await write(topic, ...pick(messages))
    return topic
  }
  const write = async (topic: string, ...values: string[]): Promise<void> => {
    for (const value of values) await pixy.produce(`/topics/${topic}/messages?sync&key=${value}`, value)
  }
  const openTails = async ({ app }: PixyGateway = pixy): Promise<number> => {
    const metrics = await (await fetch(`${app.urls.management}/metrics`)).text()
    return Number(/^kafka_pixy_open_tails (\d+)$/m.exec(metrics)![1])
  }
  const untilOpen = (tails: number): Promise<void> =>
    until(async () => (await openTails()) === tails, `${tails} open tails, but`, openTails)
  const _refusal = async (query: string, headers = {}) => {
    const { status, body } = await pixy.ask(`/topics/${query}`, { headers })
    return `${status} ${(JSON.parse(body) as { error: string }).error}`
  }

  it('gives messages as events, from the beginning where that is wanted', async () => {
    const topic = await topicWith(0)
    await pixy.produce(`/topics/${topic}/messages?sync&key=k`, 'v\n', { 'X-Kafka-Foo': 'YmFy' })
    await pixy.produce(`/topics/${topic}/messages?sync`, '')
    const client = await EventClient.open(pixy, `/topics/${topic}/tail?from=earliest`)
    await client.until(() => client.events.length === 2)
    expect(client.response.headers['content-type']).to.equal('text/event-stream; charset=utf-8')
    expect(client.response.headers['cache-control']).to.equal('no-store')
    expect(client.events).to.deep.equal([
      {
        id: '0:1',
        name: 'message',
        data: '{"key":"aw==","value":"dgo=","partition":0,"offset":0,"headers":[{"key":"Foo","value":"YmFy"}]}'
      },
      { id: '0:2', name: 'message', data: '{"key":null,"value":"","partition":0,"offset":1,"headers":[]}' }
    ])
    const text = await EventClient.open(pixy, `/clusters/default/topics/${topic}/tail?encoding=text&timestamp`, '0:0')
    await text.until(() => text.events.length === 2)
    expect(JSON.parse(text.events[0]!.data)).to.include({ key: 'k', value: 'v\n' })
    expect(JSON.parse(text.events[0]!.data).timestamp).to.be.above(1e12)
    client.leave()
    text.leave()
    await untilOpen(0)
  })

  it('ends with its connection also where it waits behind another one', async () => {
    const topic = await topicWith(1)
    const socket = await RawSocket.open(pixy.app.urls.apis.get('kafka-pixy')!)
    await socket.send(`GET /topics/${topic}/tail HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`.repeat(5))
    await untilOpen(5)
    socket.reset()
    await untilOpen(0)
  })

  it('begins at the end, and goes on where the last event was, also before the first one', async () => {
    const topic = await topicWith(3, 4)
    const first = await EventClient.open(pixy, `/topics/${topic}/tail`)
    await first.until(() => first.lastId !== '')
    first.leave()
    await write(topic, ...pick(20, 'a'))
    const second = await EventClient.open(pixy, `/topics/${topic}/tail`, first.lastId)
    await second.until(() => second.values.length === 20)
    const seen = second.events.slice(0, 12)
    second.leave()
    await write(topic, ...pick(20, 'b'))
    const third = await EventClient.open(pixy, `/topics/${topic}/tail`, seen.at(-1)!.id)
    await third.until(() => third.values.length === 28)
    third.leave()
    const places = [...seen, ...third.events].map(({ data }) => {
      const { partition, offset } = JSON.parse(data) as { partition: number; offset: number }
      return `${partition}/${offset}`
    })
    expect(new Set(places).size).to.equal(40)
    expect([...second.values.slice(0, 12), ...third.values].sort()).to.deep.equal(
      [...pick(20, 'a'), ...pick(20, 'b')].sort()
    )
  })

  it('follows the partitions that are chosen', async () => {
    const topic = await topicWith(40, 4)
    const client = await EventClient.open(pixy, `/topics/${topic}/tail?from=earliest&partition=1,3&partition=3`)
    const expected = cluster.records(topic, 1).length + cluster.records(topic, 3).length
    await client.until(() => client.events.length === expected)
    expect(client.lastId).to.match(/^1:\d+,3:\d+$/)
    client.leave()
  })

  it('a client that does not read holds up no other, costs no memory, and misses nothing', async () => {
    const topic = await topicWith(0, 2)
    const slow = await EventClient.open(pixy, `/topics/${topic}/tail?from=earliest`)
    slow.response.pause()
    const large = 'x'.repeat(100_000)
    for (let at = 0; at < 150; at++) await pixy.produce(`/topics/${topic}/messages?key=${at}`, `${at} ${large}`)
    await pixy.produce(`/topics/${topic}/messages?sync&key=end`, 'end')
    const fast = await EventClient.open(pixy, `/topics/${topic}/tail?from=earliest`)
    await fast.until(() => fast.events.length === 151)
    expect(slow.events.length).to.be.below(100)
    slow.response.resume()
    await slow.until(() => slow.events.length === 151)
    for (const { values } of [slow, fast]) {
      expect(values.map(value => value.split(' ')[0]).sort()).to.deep.equal([...pick(150, ''), 'end'].sort())
    }
    for (const client of [slow, fast]) client.leave()
  })

  it('says which records were deleted while the client was away', async () => {
    const topic = await topicWith(6)
    await deleteRecords(cluster.bootstrap, topic, 0, 4)
    const client = await EventClient.open(pixy, `/topics/${topic}/tail`, '0:1')
    await client.until(() => client.values.length === 2)
    expect(client.events.map(({ name }) => name)).to.deep.equal(['warning', 'message', 'message'])
    expect(client.events[0]).to.deep.include({
      id: '0:4',
      data: `{"warning":"records 1 to 3 of ${topic}/0 were deleted before they were read"}`
    })
    client.leave()
  })

  it('ends when the topic is deleted, and says so', async () => {
    const topic = await topicWith(1)
    const client = await EventClient.open(pixy, `/topics/${topic}/tail?from=earliest`)
    await client.until(() => client.values.length === 1)
    cluster.deleteTopic(topic)
    await client.until(() => client.isEnded)
    expect(client.events.at(-1)).to.deep.include({ name: 'error', data: `{"error":"${topic}/0 does not exist"}` })
  })
})
