import { expect } from 'chai'
import { ForbiddenError } from '../../src/core/errors.js'
import { openAccess } from '../../src/http/access/access.js'
import { failures } from '../../src/producer/memory/failures.js'
import { type Started, startApi } from '../http/server/stage.js'
import { FakeVerbs } from '../support/fake-verbs.js'
import { RawSocket } from '../support/raw-socket.js'

const JSON_TYPE = 'content-type: application/json\r\n'
const MISSING = 'the topic t does not exist: create it, or correct the name'
const PATHS = 'there is no such path; /openapi.json lists those that there are'

describe('an answer in words that do not tell how to mend the request', function () {
  this.timeout(60_000)
  let started: Started
  let verbs: FakeVerbs
  afterEach(() => started.http.close())

  const start = async (name: string, settings: object = {}, overrides: object = {}): Promise<void> => {
    verbs = new FakeVerbs({
      outcome: ({ topic }) => (topic === 't' ? failures.unknownTopic(topic) : failures.invalidTopic(topic))
    })
    started = await startApi(name, verbs, settings, overrides)
  }
  /** @returns status, warning and body */
  const ask = async (line: string, headers = '', body = ''): Promise<[string, string | undefined, string]> => {
    const socket = await RawSocket.open(started.http.urls.shared)
    const [method, path] = line.split(' ')
    await socket.send(
      `${method} /loud${path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n${headers}content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
    )
    const answer = await socket.untilClosed()
    socket.destroy()
    const warning = /^x-castellan-warning: (.*)\r$/im.exec(answer)?.[1]
    if (warning !== undefined) expect(warning).to.match(/^[\x20-\x7e]{1,520}$/)
    return [answer.slice(9, 12), warning, answer.split('\r\n\r\n')[1]!]
  }
  const push = (topic: string): string => JSON.stringify({ records: [{ topic, data: 'd' }], wait_for_send: true })

  it('has the reason in a header: of kprf', async () => {
    await start('kprf', { maxBodyBytes: 1_000 })
    const legal = ': a name has 1 to 249 of a-z A-Z 0-9 . _ - and is neither . nor ..'
    expect(await ask('POST /push', JSON_TYPE, push('a b'))).to.deep.equal([
      '500',
      `"a b" is not a legal topic name${legal}`,
      '{"status":"err","errors":[{"error":true,"message":"Message production error: InvalidTopic (Broker: Invalid topic)"}]}'
    ])
    expect((await ask('POST /push', JSON_TYPE, push('t'))).slice(0, 2)).to.deep.equal(['500', MISSING])
    const strange = await ask('POST /push', JSON_TYPE, push('é\r\nx: y\u202e'))
    expect(strange[1]).to.equal(`"\\u00e9\\r\\nx: y\\u202e" is not a legal topic name${legal}`)
    expect((await ask('POST /push', JSON_TYPE, push('x'.repeat(800))))[1]).to.match(
      /^"x{256}\\u2026 \(800 characters\)" is not/
    )
    const greek = await ask('POST /push', JSON_TYPE, push('\u03b1'.repeat(200)))
    expect(greek[1]).to.match(/^"(?:\\u03b1){66}.{3}\.\.\.: a name has 1 to 249/)
    const large = await ask('POST /push', JSON_TYPE, push('y'.repeat(2_000)))
    expect(large).to.deep.equal(['413', 'the body is larger than 1000 bytes', 'The request payload is too large'])
    expect(await ask('GET /none')).to.deep.equal(['404', PATHS, ''])
    expect(await ask('GET /push')).to.deep.equal([
      '405',
      'this path has only the method POST; /openapi.json lists what it takes',
      'HTTP method not allowed'
    ])
    expect((await ask('POST /push', JSON_TYPE, '{'))[1], 'the body tells it').to.equal(undefined)
  })

  it('has the reason in a header: of kafboy', async () => {
    await start('kafboy', { maxBodyBytes: 1_000 })
    expect(await ask('POST /sync/t', JSON_TYPE, '{"a":1}')).to.deep.equal(['502', MISSING, '[{"error":3}]'])
    const [status, warning, body] = await ask('POST /sync/a%20b', JSON_TYPE, '{"a":1}')
    expect([status, body]).to.deep.equal(['502', '[{"error":17}]'])
    expect(warning).to.match(/^"a(?: |%20)b" is not a legal topic name: a name has/)
    expect(await ask('POST /sync/t', JSON_TYPE, 'x'.repeat(1_001))).to.deep.equal([
      '400',
      'the body is larger than 1000 bytes',
      '{"error":"no_body"}'
    ])
    expect(await ask('POST /disco', JSON_TYPE, 'x'.repeat(1_001))).to.deep.equal([
      '400',
      'the body is larger than 1000 bytes',
      '{"error":"no_body"}'
    ])
    for (const line of ['GET /sync/t', 'PUT /sync/t'])
      expect((await ask(line))[1], line).to.equal('records are sent with the method POST')
    expect((await ask('POST /sync/t', '', '%zz=1'))[1]).to.match(/^the body cannot be read: send JSON/)
    expect(await ask('GET /none')).to.deep.equal(['404', PATHS, ''])
  })

  it('has the reason in a header: of kafboy, which says 200 as the original does', async () => {
    await start('kafboy', { failureStatus: 'original' })
    expect(await ask('POST /sync/t', JSON_TYPE, '{"a":1}')).to.deep.equal(['200', MISSING, '[{"error":3}]'])
  })

  it('has the reason in a header: of Kafka-Pixy', async () => {
    await start('kafka-pixy')
    const [status, warning, body] = await ask('POST /topics/t/messages?sync', 'content-type: text/plain\r\n', 'd')
    expect([status, warning]).to.deep.equal(['404', MISSING])
    expect(body).to.include('Request was for a topic or partition that does not exist on this broker.')
    expect(await ask('GET /none')).to.deep.equal(['404', PATHS, '404 page not found\n'])
    expect((await ask('DELETE /topics'))[1]).to.match(/^this path has only the method GET/)
  })

  it('has the reason in a header: of the wait for messages of a topic that there is not', async () => {
    await start('kafka-pixy')
    verbs.partitions.set('empty', 1)
    let asked = 0
    const { topics } = verbs
    verbs.topics = (...args) => {
      asked++
      return topics.call(verbs, ...args)
    }
    verbs.groups.consume = (_group, _topic, _limits, _timeout, requester) => {
      setImmediate(() => requester.reply({ type: 'timedOut' }))
      return () => undefined
    }
    const text = '{\n  "error": "long polling timeout"\n}'
    // The first answer does not wait for Kafka.
    for (const told of [undefined, MISSING, MISSING])
      expect(await ask('GET /topics/t/messages?group=g')).to.deep.equal(['408', told, text])
    expect(asked).to.equal(1)
    for (let time = 0; time < 2; time++)
      expect(await ask('GET /topics/empty/messages?group=g')).to.deep.equal(['408', undefined, text])
    verbs.topics = async () => {
      throw new Error('no broker answers')
    }
    for (let time = 0; time < 2; time++)
      expect(await ask('GET /topics/other/messages?group=g')).to.deep.equal(['408', undefined, text])
  })

  it('has the reason in a header: of Arion, and of an unknown path or method elsewhere', async () => {
    await start('arion')
    expect((await ask('POST /other/t', '', 'd')).slice(0, 2)).to.deep.equal([
      '400',
      'the path of a message begins with /sync/, /async/ or /websocket/'
    ])
    expect((await ask('POST /sync/a%20b', '', 'd'))[1]).to.match(/^malformed topic: a name has 1 to 249/)
    expect((await ask('GET /websocket/t'))[1]).to.match(/^this path needs a GET with the header upgrade/)
    for (const name of ['confluent', 'strimzi', 'cloudevents']) {
      await started.http.close()
      await start(name)
      expect((await ask('GET /a/b/c/d')).slice(0, 2), name).to.deep.equal(['404', PATHS])
      expect((await ask('PUT /topics/t')).slice(0, 1), name).to.deep.equal([name === 'cloudevents' ? '404' : '405'])
    }
    await started.http.close()
    await start('strimzi')
    expect((await ask('PUT /topics/t'))[1]).to.match(/^this path has only the method GET, (HEAD, )?POST; /)
  })

  it('names the topic that the client may not write to', async () => {
    const refusal = (): ForbiddenError => new ForbiddenError('shop may not do this: topic "t"')
    const caller = {
      ...openAccess.callerOf({} as never),
      allows: () => false,
      refusalOf: refusal,
      refusalOfTopics: refusal
    }
    await start('kprf', {}, { access: { callerOf: () => caller } })
    const [status, warning, body] = await ask('POST /push', JSON_TYPE, push('t'))
    expect([status, warning]).to.deep.equal(['403', 'shop may not do this: topic "t"'])
    expect(body).to.include('TopicAuthorizationFailed')
  })
})
