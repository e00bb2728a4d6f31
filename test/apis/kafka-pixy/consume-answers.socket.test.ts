import { expect } from 'chai'
import { ForbiddenError, QuotaExceededError } from '../../../src/core/errors.js'
import { type AckResult, type NoMessage, ONE_MESSAGE } from '../../../src/verbs/verbs.js'
import { failure } from '../../support/fake-verbs.js'
import { checkRows } from '../../support/rows.js'
import { turns } from '../../support/ticks.js'
import { errorOf, PixyPlay, PlayedVerbs, type Said } from './play.js'

const MESSAGES = '/topics/t/messages?group=g'
const ACKS = '/topics/t/acks'
const POLLS = 'kafka_pixy_open_polls'

const start = (result: PlayedVerbs['result'], settings = {}): Promise<PixyPlay> => {
  const verbs = new PlayedVerbs()
  verbs.result = result
  return PixyPlay.start(settings, { verbs })
}
const ofMessage = new PlayedVerbs()
/** The gateway has one message at a time. */
const startWithMessage = async (settings = {}): Promise<PixyPlay> => {
  const pixy = await start({ type: 'timedOut' } as NoMessage, settings)
  pixy.verbs.result = pixy.verbs.messages({ key: Buffer.from('k'), value: Buffer.from('value') })
  return pixy
}
const isClosed = ({ headers }: Said): boolean => headers.connection === 'close'
const MESSAGE = '{\n  "key": "aw==",\n  "value": "dmFsdWU=",\n  "partition": 0,\n  "offset": 0,\n  "headers": []\n}'

describe('pixy: who may consume', () => {
  it('is asked with topic and group, for messages and for acks', async () => {
    const pixy = await startWithMessage()
    pixy.access.refusal = new ForbiddenError('not you')
    for (const said of [
      await pixy.get(MESSAGES),
      await pixy.ask('POST', `${ACKS}?group=g&partition=0&offset=0`),
      await pixy.ask('POST', `${ACKS}?group=g`)
    ]) {
      expect([errorOf(said), isClosed(said)]).to.deep.equal(['403 not you', false])
      expect(said.headers).not.to.have.property('x-castellan-persisted')
    }
    expect(pixy.access.asked).to.deep.equal([1, 2, 3].map(() => ['consume', { topic: 't', group: 'g' }]))
    expect(pixy.verbs.asked).to.deep.equal([])
  })

  it('is charged for what was read, and gets it also where that uses up a quota', async () => {
    const pixy = await startWithMessage()
    pixy.access.quota = new QuotaExceededError('too much', 1)
    expect((await pixy.get(MESSAGES)).body).to.equal(MESSAGE)
    const [key, value] = [Buffer.alloc(3), Buffer.alloc(20)]
    pixy.verbs.result = pixy.verbs.messages({ key, value }, { value }, { key })
    expect((await pixy.get(`${MESSAGES}&count=3`)).status).to.equal(200)
    expect(pixy.access.charged).to.deep.equal([
      [1, 6],
      [3, 46]
    ])
  })

  it('is charged for the body of an acknowledgement, which is refused when a quota is used up', async () => {
    const pixy = await startWithMessage()
    pixy.access.quota = new QuotaExceededError('too much', 1)
    const said = await pixy.ask('POST', `${ACKS}?group=g`, 'partition=0&offset=0')
    expect(errorOf(said)).to.match(/^429 /)
    expect(pixy.access.charged).to.deep.equal([[0, 20]])
    expect(pixy.verbs.asked).to.deep.equal([])
  })
})

describe('pixy: a request for messages', () => {
  it('is answered with one message, written as Kafka-Pixy does', async () => {
    const pixy = await startWithMessage()
    const said = await pixy.get(MESSAGES)
    expect([said.status, said.headers['content-type'], said.body]).to.deep.equal([200, 'application/json', MESSAGE])
    expect(said.headers).not.to.have.property('x-castellan-persisted')
    expect(pixy.verbs.asked).to.deep.equal([['consume', 'g', 't', ONE_MESSAGE, undefined]])
  })

  it('is answered with several where it has a count, at most with a thousand', async () => {
    const pixy = await start(ofMessage.messages({ offset: 1 }, { offset: 2 }))
    const one = (offset: number) =>
      `  {\n    "key": null,\n    "value": null,\n    "partition": 0,\n    "offset": ${offset},\n    "headers": []\n  }`
    expect((await pixy.get(`${MESSAGES}&count=5`)).body).to.equal(`[\n${one(1)},\n${one(2)}\n]`)
    await pixy.get(`${MESSAGES}&count=1`)
    await pixy.get(`${MESSAGES}&count=1001`)
    expect(pixy.verbs.asked).to.deep.equal(
      [5, 1, 1_000].map(maxMessages => ['consume', 'g', 't', { maxMessages, maxBytes: 4_194_304 }, undefined])
    )
    for (const count of ['0', '-1']) {
      expect(errorOf(await pixy.get(`${MESSAGES}&count=${count}`))).to.equal('400 count should be at least 1')
    }
    expect(errorOf(await pixy.get(`${MESSAGES}&count=2147483648`))).to.match(/^400 bad count: .*out of range$/)
  })

  it('gets fewer messages where their JSON becomes too large, and the others later', async () => {
    const pixy = await start('none')
    const value = Buffer.alloc(1024 * 1024, 1)
    pixy.verbs.consume = (...asked) => {
      const [, , { maxMessages }, , { reply }] = asked
      pixy.verbs.asked.push(maxMessages)
      const given = Array.from({ length: Math.min(4, maxMessages) }, () => ({ value }))
      queueMicrotask(() => reply(pixy.verbs.messages(...given)))
      return () => undefined
    }
    const said = await pixy.get(`${MESSAGES}&count=5&encoding=text`)
    expect(JSON.parse(said.body)).to.have.length(1)
    expect([pixy.verbs.asked, pixy.verbs.told[0]]).to.deep.equal([[5, 1], 'given back'])
    expect(pixy.access.charged).to.deep.equal([[1, value.length]])
    expect(JSON.parse((await pixy.get(`${MESSAGES}&count=5`)).body), 'in base64').to.have.length(4)
  })

  it('has wrong parameters refused before anybody is asked for anything', async () => {
    const pixy = await startWithMessage({ consumerDisabled: true })
    pixy.access.refusal = new ForbiddenError('not you')
    expect(errorOf(await pixy.get('/topics/t/messages'))).to.match(/^400 one consumer group/)
    expect(errorOf(await pixy.get(`${MESSAGES}&ackOffset=1`))).to.match(/^400 ackPartition and ackOffset/)
    expect(pixy.access.asked).to.deep.equal([])
    expect(errorOf(await pixy.get(MESSAGES))).to.equal('403 not you')
    pixy.access.refusal = undefined
    const disabled = await pixy.get(MESSAGES)
    expect([errorOf(disabled), disabled.headers['retry-after']]).to.deep.equal([
      '503 service is disabled by configuration',
      '1'
    ])
    expect(pixy.verbs.asked).to.deep.equal([])
  })

  const acknowledged: [query: string, asked: unknown[], told: string[]][] = [
    ['', [], ['cancelled', 'acknowledged']],
    ['&noAck', [], ['cancelled']],
    ['&ackPartition=-1&ackOffset=5', [], ['cancelled']],
    ['&ackPartition=3&ackOffset=5', [['ack', 'g', { topic: 't', partition: 3, offset: 5 }]], ['cancelled']]
  ]
  for (const [query, asked, told] of acknowledged) {
    it(`acknowledges what it says: ${query || 'the message that it gets'}`, async () => {
      const pixy = await startWithMessage()
      expect(await (await pixy.getOverSocket(MESSAGES + query)).text()).to.equal(MESSAGE)
      while (pixy.verbs.told.length < told.length) await turns(1)
      expect(pixy.verbs.asked).to.deep.equal([...asked, ['consume', 'g', 't', ONE_MESSAGE, undefined]])
      await pixy.close()
      expect(pixy.verbs.told).to.deep.equal(told)
    })
  }

  it('gets its message whatever becomes of the acknowledgement', async () => {
    const pixy = await startWithMessage()
    pixy.verbs.acked = new Error('made up')
    expect((await pixy.get(`${MESSAGES}&ackPartition=0&ackOffset=0`)).body).to.equal(MESSAGE)
    expect(pixy.logged).to.deep.equal([])
  })

  const tooMany = {
    ...failure('overloaded'),
    setting: 'advanced.consumer.maxWaitingRequests'
  }
  const made = (code: string) => `made up for a test: ${code}`
  const failures: [result: NoMessage, said: string, retryAfter?: string][] = [
    [{ type: 'timedOut' } as NoMessage, '408 long polling timeout'],
    [
      tooMany,
      '429 Too many requests. Consider increasing `consumer.channel_buffer_size` (advanced.consumer.maxWaitingRequests of Castellan)',
      '1'
    ],
    [failure('overloaded'), `429 ${made('overloaded')}`, '1'],
    [failure('shuttingDown'), '503 service is shutting down', '1'],
    [failure('kafka', 30), '500 kafka server: The client is not authorized to access this group.'],
    [failure('kafka', 29), '500 kafka server: The client is not authorized to access this topic.'],
    [failure('kafka', 15), `500 ${made('kafka')}`],
    [failure('kafka', 23), `409 ${made('kafka')}`],
    [failure('timedOut'), `500 ${made('timedOut')}`]
  ]
  it('each failure has its answer, for one message and for many', () =>
    checkRows(failures, async ([result, said, retryAfter]) => {
      for (const query of ['', '&count=3']) {
        const pixy = await start(result)
        const answer = await pixy.get(MESSAGES + query)
        expect([errorOf(answer), answer.headers['retry-after']]).to.deep.equal([said, retryAfter])
      }
    }))

  it('that fails while no broker is there is told so', async () => {
    const pixy = await start(failure('timedOut'))
    pixy.verbs.isReady = false
    expect(errorOf(await pixy.get(MESSAGES))).to.match(/^500 kafka: client has run out of available brokers/)
  })

  it('that meets a bug is answered, and logged', async () => {
    const pixy = await start(new Error('made up'))
    const said = await pixy.get(MESSAGES)
    expect([errorOf(said), said.headers['x-castellan-persisted']]).to.deep.equal(['500 internal error', undefined])
    expect(pixy.logged).to.deep.equal(['a request of Kafka-Pixy failed unexpectedly'])
  })

  it('is counted while it waits, and told when the process stops', async () => {
    const pixy = await start('none')
    expect(await pixy.metric(POLLS)).to.equal('0')
    const waiting = [pixy.get(MESSAGES), pixy.get(`${MESSAGES}&count=2`)]
    while ((await pixy.metric(POLLS)) !== '2') await turns(1)
    await pixy.drain()
    for (const said of await Promise.all(waiting)) {
      expect([errorOf(said), said.headers['retry-after']]).to.deep.equal(['503 service is shutting down', '1'])
    }
    expect(pixy.verbs.told).to.include('cancelled')
    while ((await pixy.metric(POLLS)) !== '0') await turns(1)
  })
})

describe('pixy: a request to acknowledge a message', () => {
  const place = '?group=g&partition=4&offset=17'
  const results: [result: AckResult | Error, said: string][] = [
    [{ type: 'notRead' }, '500 acks channel missing for {g t 4}'],
    [{ type: 'notOffered' }, '400 offset 17 of {g t 4} has not been offered'],
    [failure('shuttingDown'), '503 service is shutting down'],
    [failure('kafka', 7), '500 kafka server: Request exceeded the user-specified time limit in the request.'],
    [new Error('made up'), '500 internal error']
  ]
  for (const [result, said] of results) {
    it(`is answered ${said}`, async () => {
      const pixy = await start('none', { consumerDisabled: true })
      pixy.verbs.acked = result
      expect(errorOf(await pixy.ask('POST', ACKS + place))).to.equal(said)
      expect(pixy.verbs.asked).to.deep.equal([['ack', 'g', { topic: 't', partition: 4, offset: 17 }]])
      expect(pixy.logged).to.have.length(result instanceof Error ? 1 : 0)
    })
  }

  it('is answered {} when it is acknowledged', async () => {
    const said = await (await start('none')).ask('POST', ACKS + place)
    expect([said.status, said.headers['content-type'], said.body]).to.deep.equal([200, 'application/json', '{}'])
  })

  it('may have its parameters in a form, which come before those of the query', async () => {
    const pixy = await start('none')
    const form = (type: string) =>
      pixy.ask('POST', `${ACKS}?partition=9&offset=9`, 'group=f&partition=1&offset=2', { 'content-type': type })
    for (const type of ['application/x-www-form-urlencoded', 'Application/X-WWW-Form-Urlencoded; charset=utf-8']) {
      expect((await form(type)).body).to.equal('{}')
    }
    expect(pixy.verbs.asked).to.deep.equal([1, 2].map(() => ['ack', 'f', { topic: 't', partition: 1, offset: 2 }]))
    expect(errorOf(await form('text/plain'))).to.equal('400 one consumer group is expected, but 0 provided')
  })

  it('means no place: -2 where it names none, -1 where it wants none', async () => {
    const pixy = await start('none')
    const said = async (query: string) => errorOf(await pixy.ask('POST', `${ACKS}?group=g${query}`))
    expect(await said('')).to.equal('500 acks channel missing for {g t -2}')
    expect(await said('&noAck')).to.equal('500 acks channel missing for {g t -1}')
    expect(await said('&partition=0&offset=-1')).to.equal('500 acks channel missing for {g t -1}')
    expect(await said('&partition=0')).to.equal('400 partition and offset either both should be provided or neither')
    expect(pixy.verbs.asked).to.deep.equal([])
  })
})
