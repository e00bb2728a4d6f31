import { expect } from 'chai'
import { checkRows } from '../../support/rows.js'
import { brief, PixyUnderTest } from './harness.js'

const MESSAGES = '/topics/test.4/messages'
const NO_SUCH_TOPIC = 'kafka server: Request was for a topic or partition that does not exist on this broker.'
const _TOO_LARGE = 'kafka server: Message was too large, server rejected it to avoid allocation error.'

describe('pixy: produce', function () {
  this.timeout(30_000)
  let pixy: PixyUnderTest
  const last = (topic: string, partition: number) => pixy.cluster.records(topic, partition).at(-1)!
  const errorOf = async (asked: ReturnType<PixyUnderTest['ask']>): Promise<string> => {
    const { status, body } = await asked
    return `${status} ${(JSON.parse(body) as { error: string }).error}`
  }

  before(async () => {
    pixy = await PixyUnderTest.start()
  })
  after(() => pixy.stopAll())

  it('pixy H7: X-Kafka- headers become headers of the message', async () => {
    const answer = await pixy.produce(`${MESSAGES}?key=foo&sync`, 'm', {
      'X-Kafka-Foo': Buffer.from('bar').toString('base64'),
      'x-kafka-foo-BAR': ['YQ==', 'YR==']
    })
    expect(answer.status).to.equal(200)
    expect(last('test.4', 1).headers.map(({ key, value }) => `${key}=${value}`)).to.deep.equal([
      'Foo=bar',
      'Foo-Bar=a',
      'Foo-Bar=a'
    ])
  })

  for (const value of ['bar!', 'YmFyZm9', 'YmF yZm9v', '_-__', 'YQ=']) {
    it(`pixy H8: the header value ${value} is refused`, async () => {
      const answer = pixy.produce(`${MESSAGES}?sync`, 'm', { 'X-Kafka-Foo': value })
      expect(await errorOf(answer)).to.equal('400 Invalid base64 encoding for header: X-Kafka-Foo')
    })
  }

  it('pixy H9: headers are refused where they are switched off', async () => {
    const other = await PixyUnderTest.over(pixy.cluster, { 'apis.kafka-pixy.messageHeaders': 'false' })
    try {
      const headers = { 'X-Kafka-Foo': 'YQ==' }
      expect(await errorOf(other.produce(`${MESSAGES}?sync`, 'm', headers))).to.match(
        /^400 headers are not supported with this version of Kafka/
      )
      expect(brief(await other.produce(MESSAGES, 'm', headers))).to.equal('200 {}')
    } finally {
      await other.stop()
    }
  })

  it('pixy H10: a form with the field msg', async () => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    const answer = await pixy.post(`${MESSAGES}?key=foo&sync`, 'msg=foo', headers)
    expect(answer.status).to.equal(200)
    expect(String(last('test.4', 1).value)).to.equal('foo')
    await pixy.post(MESSAGES, 'key=bar&sync=&msg=a%26b%3D%FF', headers)
    expect(last('test.4', 2).value).to.deep.equal(Buffer.from('a&b=\xff', 'latin1'))
    expect(await errorOf(pixy.post(`${MESSAGES}?sync`, 'message=foo', headers))).to.equal('400 empty message')
    expect(brief(await pixy.post(`${MESSAGES}?sync&key=foo&msg=query`, '', headers))).to.match(/^200 /)
  })

  it('pixy H16: a topic that does not exist', async () => {
    expect(await errorOf(pixy.produce('/topics/gone/messages?sync', 'm'))).to.equal(`404 ${NO_SUCH_TOPIC}`)
    expect(brief(await pixy.produce('/topics/gone/messages', 'm'))).to.equal('200 {}')
    expect(await errorOf(pixy.produce('/topics/bad!name/messages?sync', 'm'))).to.equal(
      '500 kafka server: The request attempted to perform an operation on an invalid topic.'
    )
  })

  it('pixy H42: the cluster may be named', async () => {
    expect((await pixy.produce('/clusters/default/topics/test.4/messages?key=1&sync', 'named')).status).to.equal(200)
    expect(String(last('test.4', 0).value)).to.equal('named')
    expect(await errorOf(pixy.produce('/clusters/nope/topics/test.4/messages', 'm'))).to.equal(
      '400 proxy `nope` does not exist'
    )
  })

  it('pixy H42: the cluster default may have another name', async () => {
    const other = await PixyUnderTest.over(pixy.cluster, { 'apis.kafka-pixy.defaultCluster': 'Main' })
    try {
      expect((await other.produce('/clusters/Main/topics/test.4/messages?sync', 'm')).status).to.equal(200)
    } finally {
      await other.stop()
    }
  })

  const types: [type: string | undefined, error: string | undefined][] = [
    ['application/json', undefined],
    ['application/json; charset=utf-8', undefined],
    ['application/cloudevents+json;charset=utf-8', undefined],
    ['text/plain; charset=utf-8', 'unsupported content type text/plain; charset=utf-8'],
    ['TEXT/PLAIN', 'unsupported content type TEXT/PLAIN'],
    ['application/octet-stream', 'unsupported content type application/octet-stream'],
    ['a/<b>&c', 'unsupported content type a/<b>&c'],
    [undefined, 'unsupported content type ']
  ]
  it('pixy H46: a content type decides whether a message is taken', () =>
    checkRows(types, async ([type, error]) => {
      const answer = await pixy.post(`${MESSAGES}?sync`, '{"a":1}', type === undefined ? {} : { 'content-type': type })
      if (error === undefined) expect(answer.status).to.equal(200)
      else expect([answer.status, JSON.parse(answer.body)]).to.deep.equal([400, { error }])
      expect(answer.body).to.not.match(/[<>&]/)
    }))

  it('pixy H47: a chunked upload is refused, an empty message is not', async () => {
    const headers = { 'content-type': 'text/plain' }
    const chunked = pixy.ask(`${MESSAGES}?sync`, { method: 'POST', headers, body: 'x', isChunked: true })
    expect(await errorOf(chunked)).to.equal('400 missing Content-Length header')
    await pixy.produce(`${MESSAGES}?sync&key=1`, '')
    expect(last('test.4', 0).value).to.have.length(0)
  })

  it('keys are bytes: decoded once, and of several the first counts', async () => {
    await pixy.produce(`${MESSAGES}?sync&key=a+b%2Bc%FF&key=other`, 'm')
    const keys = [0, 1, 2, 3].map(partition => last('test.4', partition).key?.toString('latin1'))
    expect(keys).to.include('a b+c\xff')
    expect((await pixy.produce(`${MESSAGES}?sync&key=%zz`, 'no key')).status).to.equal(200)
    expect((await pixy.produce(`${MESSAGES}?sync;key=a`, 'asynchronous')).body).to.equal('{}')
  })
})
