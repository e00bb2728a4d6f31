import { expect } from 'chai'
import { brief, type PixyGateway } from '../../apis/kafka-pixy/stage.js'
import { jsonOf, PixyStage, until } from '../../support/pixy-stage.js'
import { freshTopic } from '../../support/target-cluster.js'

interface Message {
  readonly key: string | null
  readonly value: string
  readonly partition: number
  readonly offset: number
  readonly headers: readonly object[]
}

const TIMED_OUT = '408 {"error":"long polling timeout"}'
/** Messages by key, and the partition of the key among four. */
const LOAD = { A: 17, B: 19, C: 23, D: 29 }
const PARTITION_OF = { A: 0, B: 3, C: 2, D: 1 }
const COMMITTED = ['17', '29', '23', '19']

const text = (base64: string): string => Buffer.from(base64, 'base64').toString()

describe('pixy: consume', function () {
  this.timeout(120_000)
  let stage: PixyStage
  let topic: string
  let group: string
  before(async () => (stage = await PixyStage.open({ 'consumer.longPollMs': '1000' })))
  after(() => stage?.close())
  beforeEach(() => (group = freshTopic('foo')))

  const poll = (pixy: PixyGateway, query = '') => pixy.get(`/topics/${topic}/messages?group=${group}${query}`)
  /** Asks until there is a message. */
  async function next(pixy: PixyGateway, query = ''): Promise<Message> {
    for (;;) {
      const answer = await poll(pixy, query)
      if (answer.status === 200) return jsonOf(answer)
      expect(brief(answer)).to.equal(TIMED_OUT)
    }
  }
  /** The group stands at the end of the topic, as after its first poll. */
  async function isAtHead(pixy: PixyGateway, partitions: number): Promise<void> {
    expect(brief(await poll(pixy))).to.equal(TIMED_OUT)
    for (let partition = 0; partition < partitions; partition++) {
      await until(async () => (await stage.committed(group, topic, partition)) !== 'none')
    }
  }
  async function produceLoad(): Promise<void> {
    for (const [key, count] of Object.entries(LOAD)) {
      for (let i = 0; i < count; i++) {
        expect(brief(await stage.pixy.produce(`/topics/${topic}/messages?key=${key}&sync`, `${key}${i}`))).to.match(
          /^200/
        )
      }
    }
  }
  /** Each message of the load exactly once, per key in order, where it belongs. */
  function isWholeLoad(messages: readonly Message[]): void {
    for (const [key, count] of Object.entries(LOAD)) {
      const ofKey = messages.filter(message => text(message.key!) === key)
      const expected = Array.from({ length: count }, (_, offset) => {
        const partition = PARTITION_OF[key as keyof typeof LOAD]
        return { key, value: `${key}${offset}`, partition, offset }
      })
      const found = ofKey.map(({ partition, offset, value }) => ({ key, value: text(value), partition, offset }))
      expect(found).to.deep.equal(expected)
    }
    expect(messages).to.have.length(88)
  }
  const committed = () => Promise.all([0, 1, 2, 3].map(partition => stage.committed(group, topic, partition)))

  it('pixy H20: auto-ack gives each message exactly once, per key in order, and commits', async () => {
    topic = await stage.topic(4)
    const pixy = await stage.another()
    await isAtHead(pixy, 4)
    await produceLoad()
    const messages: Message[] = []
    while (messages.length < 88) messages.push(await next(pixy))
    await pixy.stop()
    isWholeLoad(messages)
    expect(await committed()).to.deep.equal(COMMITTED)
  })

  it('pixy H21: with noAck nothing is committed', async () => {
    topic = await stage.topic(4)
    const pixy = await stage.another({ 'consumer.ackTimeoutMs': '500', 'consumer.subscriptionTimeoutMs': '500' })
    await isAtHead(pixy, 4)
    await stage.pixy.produce(`/topics/${topic}/messages?key=B&sync`, 'm')
    const before = await committed()
    expect(text((await next(pixy, '&noAck')).value)).to.equal('m')
    await pixy.stop()
    expect(await committed()).to.deep.equal(before)
  })

  it('pixy H22: each request acknowledges the message before, the last one by itself', async () => {
    topic = await stage.topic(4)
    const pixy = await stage.another()
    await isAtHead(pixy, 4)
    await produceLoad()
    const messages = [await next(pixy, '&noAck')]
    while (messages.length < 88) {
      const { partition, offset } = messages.at(-1)!
      messages.push(await next(pixy, `&ackPartition=${partition}&ackOffset=${offset}`))
    }
    const { partition, offset } = messages.at(-1)!
    const last = await pixy.post(`/topics/${topic}/acks?group=${group}&partition=${partition}&offset=${offset}`)
    expect(brief(last)).to.equal('200 {}')
    await pixy.stop()
    isWholeLoad(messages)
    expect(await committed()).to.deep.equal(COMMITTED)
  })

  it('pixy H24 H42 H45: headers, key and value come from a cluster that the path names', async () => {
    topic = await stage.topic(4)
    await isAtHead(stage.pixy, 4)
    const headers = { 'X-Kafka-Foo': 'YmFy' }
    const path = `/clusters/default/topics/${topic}/messages`
    expect(brief(await stage.pixy.produce(`${path}?key=B&sync`, 'sent', headers))).to.equal(
      '200 {"partition":3,"offset":0}'
    )
    let answer = await stage.pixy.get(`${path}?group=${group}`)
    while (answer.status === 408) answer = await stage.pixy.get(`${path}?group=${group}`)
    expect(jsonOf(answer)).to.deep.equal({
      key: Buffer.from('B').toString('base64'),
      value: Buffer.from('sent').toString('base64'),
      partition: 3,
      offset: 0,
      headers: [{ key: 'Foo', value: 'YmFy' }]
    })
  })

  it('pixy C13: the first poll of 64 partitions is told that there is nothing; then all messages of three keys come', async () => {
    topic = await stage.topic(64)
    await isAtHead(stage.pixy, 64)
    const expected: string[] = []
    for (let i = 0; i < 63; i++) {
      for (const key of ['foo', 'bar', 'A']) {
        expected.push(`${key}${i}`)
        await stage.pixy.produce(`/topics/${topic}/messages?key=${key}`, `${key}${i}`)
      }
    }
    const seen: string[] = []
    while (seen.length < 189) seen.push(text((await next(stage.pixy)).value))
    expect(seen.sort()).to.deep.equal(expected.sort())
  })

  it('pixy C14: what comes after the first poll is delivered first, even by another process', async () => {
    topic = await stage.topic(1)
    await stage.pixy.produce(`/topics/${topic}/messages?sync`, 'old')
    const before = await stage.another()
    await isAtHead(before, 1)
    await before.stop()
    await stage.pixy.produce(`/topics/${topic}/messages?sync`, 'new')
    expect(text((await next(stage.pixy)).value)).to.equal('new')
  })

  it('pixy H50: one message more than the setting says may wait for its ack', async () => {
    topic = await stage.topic(1)
    const pixy = await stage.another({ 'consumer.maxPendingMessages': '3', 'consumer.longPollMs': '1000' })
    await isAtHead(pixy, 1)
    for (let i = 0; i < 6; i++) await stage.pixy.produce(`/topics/${topic}/messages?sync`, `m${i}`)
    for (const expected of ['m0', 'm1', 'm2', 'm3']) expect(text((await next(pixy, '&noAck')).value)).to.equal(expected)
    expect(brief(await poll(pixy, '&noAck'))).to.equal(TIMED_OUT)
    expect(brief(await pixy.post(`/topics/${topic}/acks?group=${group}&partition=0&offset=1`))).to.equal('200 {}')
    expect(text((await next(pixy, '&noAck')).value)).to.equal('m4')
    expect(brief(await poll(pixy, '&noAck'))).to.equal(TIMED_OUT)
  })

  it('pixy H56: a process with a message that is not acknowledged hands over when its time is over', async () => {
    topic = await stage.topic(1)
    const settings = {
      // The newcomer has to be told first that there is nothing, for which it joins the group.
      'consumer.ackTimeoutMs': '15000',
      'advanced.consumer.revocationMs': '60000',
      'consumer.longPollMs': '500',
      // Both times would begin with the owner's poll: it hands over, the newcomer is given the message, then the owner's
      // subscription ends, and the newcomer joins anew only when its own message is over.
      'consumer.subscriptionTimeoutMs': '60000'
    }
    const names = [1, 2].map(number => ({ ...settings, 'consumer.instanceId': `${group}-${number}` }))
    // The newcomer's name comes first, so that the only partition becomes its own.
    const [newcomer, owner] = [await stage.another(names[0]), await stage.another(names[1])]
    await isAtHead(owner!, 1)
    for (const message of ['m0', 'm1']) await stage.pixy.produce(`/topics/${topic}/messages?sync`, message)
    expect(text((await next(owner!, '&noAck')).value)).to.equal('m0')
    const isOwnedBy = async (number: number): Promise<boolean> =>
      brief(await stage.pixy.get(`/topics/${topic}/consumers?group=${group}`)).includes(`{"${group}-${number}":[0]`)
    expect(await isOwnedBy(2)).to.equal(true)
    // Withheld at first, since an ack may still come.
    expect(brief(await poll(newcomer!, '&noAck'))).to.equal(TIMED_OUT)
    expect(text((await next(newcomer!, '&noAck')).value)).to.equal('m0')
    await until(() => isOwnedBy(1))
  })
})
